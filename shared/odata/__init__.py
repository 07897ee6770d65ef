"""OData query options over flow sets, flows, role groups and reference definitions.

`options.QueryOptions.parse` reads a request's options and `paging.open_page` the place it asks for.
`cosmos.page_query` then asks the store, or `listing.list_page` looks through entities at hand, and
`paging.next_token` with `paging.next_link` leads to the following page. This package imports none
of its modules, so that a cold start loads only what its first request needs.
"""
