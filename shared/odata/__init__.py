"""OData query options over flow sets, flows, role groups and reference definitions."""
