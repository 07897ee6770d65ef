"""The official Python client of Microsoft Graph, on the running service: it notices no difference.

Only the base address and the token are other than for Graph itself. The numbers of operations in
names below are those of the outbound API's documentation, as the README lists them.
"""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from azure.cosmos.aio import ContainerProxy
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_serialization_json.json_serialization_writer import JsonSerializationWriter
from msgraph_beta import GraphRequestAdapter, GraphServiceClient
from msgraph_beta.generated.models.industry_data.additional_class_group_attributes import (
    AdditionalClassGroupAttributes,
)
from msgraph_beta.generated.models.industry_data.additional_class_group_options import (
    AdditionalClassGroupOptions,
)
from msgraph_beta.generated.models.industry_data.additional_user_attributes import (
    AdditionalUserAttributes,
)
from msgraph_beta.generated.models.industry_data.additional_user_options import (
    AdditionalUserOptions,
)
from msgraph_beta.generated.models.industry_data.admin_unit_creation_options import (
    AdminUnitCreationOptions,
)
from msgraph_beta.generated.models.industry_data.administrative_unit_provisioning_flow import (
    AdministrativeUnitProvisioningFlow,
)
from msgraph_beta.generated.models.industry_data.basic_filter import BasicFilter
from msgraph_beta.generated.models.industry_data.class_group_configuration import (
    ClassGroupConfiguration,
)
from msgraph_beta.generated.models.industry_data.class_group_provisioning_flow import (
    ClassGroupProvisioningFlow,
)
from msgraph_beta.generated.models.industry_data.enrollment_mappings import EnrollmentMappings
from msgraph_beta.generated.models.industry_data.filter_options import FilterOptions
from msgraph_beta.generated.models.industry_data.industry_data_root import IndustryDataRoot
from msgraph_beta.generated.models.industry_data.outbound_provisioning_flow_set import (
    OutboundProvisioningFlowSet,
)
from msgraph_beta.generated.models.industry_data.provisioning_flow import ProvisioningFlow
from msgraph_beta.generated.models.industry_data.readiness_status import ReadinessStatus
from msgraph_beta.generated.models.industry_data.reference_definition import ReferenceDefinition
from msgraph_beta.generated.models.industry_data.role_group import RoleGroup
from msgraph_beta.generated.models.industry_data.role_reference_value import RoleReferenceValue
from msgraph_beta.generated.models.industry_data.section_role_reference_value import (
    SectionRoleReferenceValue,
)
from msgraph_beta.generated.models.industry_data.security_group_creation_options import (
    SecurityGroupCreationOptions,
)
from msgraph_beta.generated.models.industry_data.security_group_provisioning_flow import (
    SecurityGroupProvisioningFlow,
)
from msgraph_beta.generated.models.industry_data.simple_password_settings import (
    SimplePasswordSettings,
)
from msgraph_beta.generated.models.industry_data.student_age_group import StudentAgeGroup
from msgraph_beta.generated.models.industry_data.user_configuration import UserConfiguration
from msgraph_beta.generated.models.industry_data.user_creation_options import UserCreationOptions
from msgraph_beta.generated.models.industry_data.user_management_options import (
    UserManagementOptions,
)
from msgraph_beta.generated.models.industry_data.user_provisioning_flow import UserProvisioningFlow
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError
from msgraph_core import APIVersion, GraphClientFactory
from msgraph_core.tasks.page_iterator import PageIterator

import function_app  # noqa: F401 - fills ROUTES
from functions.http.operations import ROUTES
from local.config import HOST
from shared.adapters.keyring import Keyring
from tests.support.api import GUID, UNKNOWN, sort_index
from tests.support.stored import stored_passwords
from tests.support.waiting import until

# The client's own classes warn of each other when they are imported, at the first use of each.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(This class|GetQueryParameters) is deprecated:DeprecationWarning"
)

MASK = "*" * 15
PASSWORDS = {"staff": "Pa55-staff-ä", "students": "Pa55-students-✓"}


class StaticToken(AccessTokenProvider):
    """Gives the one token to requests for the one host."""

    def __init__(self, token: str) -> None:
        self.token = token

    async def get_authorization_token(
        self, uri: str, additional_authentication_context: dict[str, Any] | None = None
    ) -> str:
        return self.token if self.get_allowed_hosts_validator().is_url_host_valid(uri) else ""

    def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
        return AllowedHostsValidator([HOST])


@dataclass
class Client:
    """Graph's client for industryData, and what it has sent."""

    adapter: Any
    external: Any
    sent: list[tuple[str, str]]

    @property
    def industry_data(self) -> Any:
        """The builder of industryData."""
        return self.external.industry_data

    @property
    def sets(self) -> Any:
        """The builder of flow sets."""
        return self.industry_data.outbound_provisioning_flow_sets

    def set(self, set_id: str | None) -> Any:
        """The builder of one flow set."""
        return self.sets.by_outbound_provisioning_flow_set_id(set_id)

    def flows(self, set_id: str | None) -> Any:
        """The builder of a set's flows."""
        return self.set(set_id).provisioning_flows

    def flow(self, set_id: str | None, flow_id: str | None) -> Any:
        """The builder of one flow."""
        return self.flows(set_id).by_provisioning_flow_id(flow_id)

    async def new_set(self, name: str = "Contoso schools") -> str:
        """Create a flow set; return its id."""
        created = await self.sets.post(OutboundProvisioningFlowSet(display_name=name))
        set_id: str = created.id
        return set_id


@pytest.fixture(scope="session")
async def client(api: str, token: str) -> AsyncIterator[Client]:
    """The client as a program builds it, with another base address and a token at hand."""
    sent: list[tuple[str, str]] = []

    async def note(request: httpx.Request) -> None:
        sent.append((request.method, request.url.path))

    # Connections of our own, because those that the client makes itself are never closed.
    async with httpx.AsyncHTTPTransport() as connections:
        http = httpx.AsyncClient(
            transport=connections, trust_env=False, event_hooks={"request": [note]}
        )
        http = GraphClientFactory.create_with_default_middleware(APIVersion.beta, http)
        authentication = BaseBearerTokenAuthenticationProvider(StaticToken(token))
        adapter = GraphRequestAdapter(authentication, http)
        adapter.base_url = api
        built = GraphServiceClient(request_adapter=adapter)
        yield Client(adapter, built.external, sent)
        await http.aclose()


@pytest.fixture
async def set_id(client: Client) -> str:
    """A flow set of the test's own."""
    return await client.new_set()


def options(builder: Any, **given: object) -> RequestConfiguration[Any]:
    """Query options in the class that a request builder has for them."""
    parameters = getattr(builder, f"{type(builder).__name__}GetQueryParameters")
    return RequestConfiguration(query_parameters=parameters(**given))


# --- bodies ------------------------------------------------------------------------------------


def administrative_unit() -> AdministrativeUnitProvisioningFlow:
    """The documented flow for administrative units."""
    return AdministrativeUnitProvisioningFlow(
        creation_options=AdminUnitCreationOptions(
            create_based_on_org=True, create_based_on_org_plus_role_group=True
        )
    )


def security_group() -> SecurityGroupProvisioningFlow:
    """The documented flow for security groups."""
    return SecurityGroupProvisioningFlow(
        creation_options=SecurityGroupCreationOptions(
            create_based_on_role_group=True, create_based_on_org_plus_role_group=False
        )
    )


def class_group() -> ClassGroupProvisioningFlow:
    """A flow for class groups; one code is in a case of its own, as in the documentation."""
    return ClassGroupProvisioningFlow(
        configuration=ClassGroupConfiguration(
            additional_attributes=[
                AdditionalClassGroupAttributes.CourseTitle,
                AdditionalClassGroupAttributes.ClassCode,
            ],
            additional_options=AdditionalClassGroupOptions(
                create_team=True, write_display_name_on_create_only=True
            ),
            enrollment_mappings=EnrollmentMappings(
                owner_enrollment_mappings=[
                    SectionRoleReferenceValue(code="teacher"),
                    SectionRoleReferenceValue(code="paraProfessional"),
                ],
                member_enrollment_mappings=[SectionRoleReferenceValue(code="student")],
            ),
        )
    )


def user() -> UserProvisioningFlow:
    """The documented flow for users, with passwords of our own."""
    return UserProvisioningFlow(
        create_unmatched_users=True,
        management_options=UserManagementOptions(
            additional_attributes=[AdditionalUserAttributes.UserGradeLevel],
            additional_options=AdditionalUserOptions(
                mark_all_students_as_minors=True, allow_student_contact_association=False
            ),
        ),
        creation_options=UserCreationOptions(
            configurations=[
                UserConfiguration(
                    license_skus=[sku],
                    default_password_settings=SimplePasswordSettings(password=PASSWORDS[group]),
                    additional_data={
                        "roleGroup@odata.bind": "https://graph.microsoft.com/beta/external/"
                        f"industryData/roleGroups/{group}"
                    },
                )
                for sku, group in (("Sku1", "staff"), ("Sku2", "students"))
            ]
        ),
    )


FLOWS = (administrative_unit, class_group, security_group, user)


def definition(code: str, index: int) -> ReferenceDefinition:
    """A grade level of the tenant's own."""
    return ReferenceDefinition(
        reference_type="RefGradeLevel",
        display_name="A grade of ours",
        code=code,
        is_disabled=False,
        sort_index=index,
    )


# --- every operation ---------------------------------------------------------------------------


def assert_just_now(moment: datetime) -> None:
    """A timestamp came as a point in time of the last minute."""
    assert timedelta(0) <= datetime.now(UTC) - moment < timedelta(minutes=1)


async def test_1_to_5_a_flow_set_lives_from_create_to_delete(client: Client) -> None:
    body = OutboundProvisioningFlowSet(
        display_name="Grundschulen Süd",
        filter=BasicFilter(attribute=FilterOptions.OrgExternalId, in_=["20", "10"]),
    )
    created = await client.sets.post(body)
    assert isinstance(created, OutboundProvisioningFlowSet)
    assert GUID.fullmatch(created.id)
    assert_just_now(created.created_date_time)
    assert created.last_modified_date_time == created.created_date_time

    read = await client.set(created.id).get()
    assert read.display_name == "Grundschulen Süd"
    assert isinstance(read.filter, BasicFilter)
    assert (read.filter.attribute, read.filter.in_) == (FilterOptions.OrgExternalId, ["20", "10"])

    named = options(client.sets, filter=f"id eq '{created.id}'")
    [listed] = (await client.sets.get(named)).value
    assert (listed.id, listed.display_name) == (created.id, "Grundschulen Süd")

    change = OutboundProvisioningFlowSet(display_name="Grundschulen Nord")
    assert await client.set(created.id).patch(change) is None
    changed = await client.set(created.id).get()
    assert (changed.display_name, changed.filter.in_) == ("Grundschulen Nord", ["20", "10"])

    assert await client.set(created.id).delete() is None
    with pytest.raises(ODataError) as gone:
        await client.set(created.id).get()
    assert gone.value.response_status_code == 404


@pytest.mark.parametrize("make", FLOWS)
async def test_6_to_11_a_flow_lives_from_create_to_delete(
    client: Client, set_id: str, make: Any
) -> None:
    kind = type(make())
    created = await client.flows(set_id).post(make())
    assert type(created) is kind
    assert created.readiness_status is ReadinessStatus.NotReady
    assert_just_now(created.created_date_time)

    read = await client.flow(set_id, created.id).get()
    assert type(read) is kind
    [listed] = (await client.flows(set_id).get()).value
    assert (type(listed), listed.id) == (kind, created.id)

    change = kind()
    if kind is UserProvisioningFlow:
        change.create_unmatched_users = False
    elif kind is ClassGroupProvisioningFlow:
        change.configuration = ClassGroupConfiguration(
            additional_attributes=[AdditionalClassGroupAttributes.CourseCode]
        )
    else:
        change.creation_options = type(make().creation_options)(
            create_based_on_org_plus_role_group=False
        )
    assert await client.flow(set_id, created.id).patch(change) is None
    changed = await client.flow(set_id, created.id).get()
    assert changed.last_modified_date_time > created.last_modified_date_time
    if kind is UserProvisioningFlow:
        assert changed.create_unmatched_users is False
        assert changed.management_options.additional_attributes == [
            AdditionalUserAttributes.UserGradeLevel
        ]
    elif kind is ClassGroupProvisioningFlow:
        configuration = changed.configuration
        assert configuration.additional_attributes == [AdditionalClassGroupAttributes.CourseCode]
        assert len(configuration.enrollment_mappings.owner_enrollment_mappings) == 2
    else:
        assert changed.creation_options.create_based_on_org_plus_role_group is False
        unchanged = vars(changed.creation_options).values()
        assert list(unchanged).count(True) == 1

    reset = client.flow(set_id, created.id).microsoft_graph_industry_data_reset
    assert await reset.post() is None
    assert await client.flow(set_id, created.id).delete() is None
    assert (await client.flows(set_id).get()).value == []


async def test_12_to_13_role_groups_are_listed_and_read(client: Client) -> None:
    groups = client.industry_data.role_groups
    listed = {group.id: group for group in (await groups.get()).value}
    assert {"staff", "students"} <= listed.keys()
    read = await groups.by_role_group_id("students").get()
    assert isinstance(read, RoleGroup)
    assert read.display_name == "Students"
    assert [role.code for role in read.roles] == ["student"]
    assert len(listed["staff"].roles) == 29


async def test_role_groups_are_created_changed_and_deleted(client: Client) -> None:
    groups = client.industry_data.role_groups
    body = RoleGroup(
        display_name="Helpers",
        roles=[RoleReferenceValue(code="NURSE"), RoleReferenceValue(code="aide")],
    )
    created = await groups.post(body)
    assert [role.code for role in created.roles] == ["aide", "nurse"]
    one = groups.by_role_group_id(created.id)
    assert await one.patch(RoleGroup(display_name="Nurses")) is None
    read = await one.get()
    assert (read.display_name, len(read.roles)) == ("Nurses", 2)
    assert await one.delete() is None
    with pytest.raises(ODataError) as gone:
        await one.get()
    assert gone.value.response_status_code == 404


async def test_14_to_18_a_reference_definition_lives_from_create_to_delete(client: Client) -> None:
    definitions = client.industry_data.reference_definitions
    code, index, another = f"sdk-{uuid.uuid4().hex[:8]}", sort_index(), sort_index()
    created = await definitions.post(definition(code, index))
    assert isinstance(created, ReferenceDefinition)
    assert (created.id, created.source) == (f"RefGradeLevel-{code}", "Tenant Defined")
    assert_just_now(created.created_date_time)

    one = definitions.by_reference_definition_id(created.id)
    read = await one.get()
    assert (read.code, read.sort_index, read.is_disabled) == (code, index, False)
    listed = [each.id for each in (await definitions.get()).value]
    assert created.id in listed
    assert listed == sorted(listed)

    change = ReferenceDefinition(display_name="Another name", sort_index=another)
    assert await one.patch(change) is None
    changed = await one.get()
    assert (changed.display_name, changed.sort_index) == ("Another name", another)
    assert await one.delete() is None
    assert (await one.get()).is_disabled is True


async def test_a_built_in_definition_has_the_zero_date(client: Client) -> None:
    definitions = client.industry_data.reference_definitions
    read = await definitions.by_reference_definition_id("RefGradeLevel-01").get()
    assert read.created_date_time == datetime(1, 1, 1, tzinfo=UTC)


async def test_the_root_is_read(client: Client) -> None:
    root = await client.industry_data.get()
    assert isinstance(root, IndustryDataRoot)
    assert root.additional_data["@odata.context"].endswith("#external/industryData/$entity")
    expanded = await client.external.get(options(client.external, expand=["industryData"]))
    assert expanded.industry_data.id == root.id


async def test_every_collection_is_counted(client: Client, set_id: str) -> None:
    await client.flows(set_id).post(security_group())
    for builder in (
        client.sets,
        client.flows(set_id),
        client.industry_data.role_groups,
        client.industry_data.reference_definitions,
    ):
        listed = await builder.get(options(builder, count=True, top=1))
        assert await builder.count.get() == listed.odata_count > 0


async def test_a_count_takes_a_filter(client: Client, set_id: str) -> None:
    count = client.sets.count
    assert await count.get(options(count, filter=f"id eq '{set_id}'")) == 1
    assert await count.get(options(count, filter=f"id eq '{UNKNOWN}'")) == 0


UNCALLED = {
    # What the client has no builder for: additions of this service, Graph's machinery, and the
    # short name of reset, which only the documentation uses.
    "readinessHistory",
    "readPasswords",
    "resealPasswords",
    "assignEarlierDocuments",
    "reset",
    "$batch",
    "$metadata",
    "",
}


async def test_the_client_calls_every_operation(client: Client) -> None:
    client.sent.clear()
    await test_the_root_is_read(client)
    await test_1_to_5_a_flow_set_lives_from_create_to_delete(client)
    set_id = await client.new_set()
    await test_6_to_11_a_flow_lives_from_create_to_delete(client, set_id, user)
    await test_12_to_13_role_groups_are_listed_and_read(client)
    await test_role_groups_are_created_changed_and_deleted(client)
    await test_14_to_18_a_reference_definition_lives_from_create_to_delete(client)
    await test_every_collection_is_counted(client, set_id)
    sent = [(method, ["beta", *path.split("/beta/")[1].split("/")]) for method, path in client.sent]
    for each in ROUTES:
        # The client's calls about subscriptions are in tests/notifications/test_graph_sdk.py.
        if each.segments[0] != "beta" or "subscriptions" in each.segments:
            continue
        called = any(
            method == each.method and len(path) == len(each.segments) == each.matched(path)
            for method, path in sent
        )
        assert called is (each.segments[-1] not in UNCALLED and len(each.segments) > 1), each


# --- values ------------------------------------------------------------------------------------


async def test_all_four_kinds_are_listed_each_as_its_class(client: Client, set_id: str) -> None:
    created = [await client.flows(set_id).post(make()) for make in FLOWS]
    listed = (await client.flows(set_id).get()).value
    assert [flow.id for flow in listed] == sorted(flow.id for flow in created)
    assert {type(flow): flow.id for flow in listed} == {type(flow): flow.id for flow in created}
    assert all(isinstance(flow, ProvisioningFlow) for flow in listed)
    assert all(isinstance(flow.readiness_status, ReadinessStatus) for flow in listed)


async def test_a_class_group_flow_comes_back_in_full(client: Client, set_id: str) -> None:
    created = await client.flows(set_id).post(class_group())
    for flow in (created, await client.flow(set_id, created.id).get()):
        configuration = flow.configuration
        assert configuration.additional_attributes == [
            AdditionalClassGroupAttributes.CourseTitle,
            AdditionalClassGroupAttributes.ClassCode,
        ]
        assert configuration.additional_options.create_team is True
        mappings = configuration.enrollment_mappings
        owners = mappings.owner_enrollment_mappings
        assert [owner.code for owner in owners] == ["teacher", "paraprofessional"]
        assert all(isinstance(owner, SectionRoleReferenceValue) for owner in owners)
        assert [one.code for one in mappings.member_enrollment_mappings] == ["student"]


async def test_a_user_flow_comes_back_with_masks_and_role_groups(
    client: Client, set_id: str
) -> None:
    created = await client.flows(set_id).post(user())
    for entry in created.creation_options.configurations:
        assert entry.role_group is None
    read = await client.flow(set_id, created.id).get()
    assert read.management_options.additional_options.mark_all_students_as_minors is True
    assert read.management_options.additional_options.student_age_group is None
    staff, students = read.creation_options.configurations
    assert (staff.license_skus, students.license_skus) == (["Sku1"], ["Sku2"])
    for entry in (staff, students):
        assert isinstance(entry.default_password_settings, SimplePasswordSettings)
        assert entry.default_password_settings.password == MASK
        assert isinstance(entry.role_group, RoleGroup)
        assert "roleGroup@odata.context" in entry.additional_data
    assert (staff.role_group.id, students.role_group.id) == ("staff", "students")
    assert [role.code for role in students.role_group.roles] == ["student"]


async def test_an_age_group_is_an_enum_and_decides_the_older_flag(
    client: Client, set_id: str
) -> None:
    body = user()
    body.management_options.additional_options = AdditionalUserOptions(
        student_age_group=StudentAgeGroup.Minor
    )
    created = await client.flows(set_id).post(body)
    read = await client.flow(set_id, created.id).get()
    additional = read.management_options.additional_options
    assert additional.student_age_group is StudentAgeGroup.Minor
    assert additional.mark_all_students_as_minors is True


async def test_a_flow_becomes_ready(client: Client, set_id: str) -> None:
    created = await client.flows(set_id).post(user())

    async def ready() -> bool:
        read = await client.flow(set_id, created.id).get()
        return read.readiness_status is ReadinessStatus.Ready

    await until(ready, "the client sees the flow ready")


# --- what was read is written back -------------------------------------------------------------


def as_sent(model: Any) -> Any:
    """What the client would send for an object: all that a caller may set."""
    writer = JsonSerializationWriter()
    writer.write_object_value(None, model)
    return json.loads(writer.get_serialized_content())


@pytest.mark.parametrize("make", FLOWS)
async def test_what_was_read_can_be_written_back(client: Client, set_id: str, make: Any) -> None:
    created = await client.flows(set_id).post(make())
    read = await client.flow(set_id, created.id).get()
    assert await client.flow(set_id, created.id).patch(read) is None
    again = await client.flow(set_id, created.id).get()
    assert again.last_modified_date_time > read.last_modified_date_time
    assert as_sent(again) == as_sent(read)


async def test_writing_back_a_changed_flow_keeps_its_passwords(
    client: Client, set_id: str, stored_sets: ContainerProxy, keyring: Keyring
) -> None:
    created = await client.flows(set_id).post(user())
    read = await client.flow(set_id, created.id).get()
    read.create_unmatched_users = False
    read.creation_options.configurations.reverse()
    read.creation_options.configurations[0].license_skus.append("Sku3")
    assert await client.flow(set_id, created.id).patch(read) is None

    again = await client.flow(set_id, created.id).get()
    assert again.create_unmatched_users is False
    students, staff = again.creation_options.configurations
    assert (students.role_group.id, students.license_skus) == ("students", ["Sku2", "Sku3"])
    assert (staff.role_group.id, staff.license_skus) == ("staff", ["Sku1"])
    assert await stored_passwords(stored_sets, keyring, set_id) == PASSWORDS


async def test_a_set_and_a_definition_can_be_written_back(client: Client, set_id: str) -> None:
    read = await client.set(set_id).get()
    read.filter = BasicFilter(attribute=FilterOptions.OrgExternalId, in_=["7"])
    assert await client.set(set_id).patch(read) is None
    assert (await client.set(set_id).get()).filter.in_ == ["7"]

    definitions = client.industry_data.reference_definitions
    created = await definitions.post(definition(f"back-{uuid.uuid4().hex[:8]}", sort_index()))
    one = definitions.by_reference_definition_id(created.id)
    read = await one.get()
    read.display_name = "Renamed"
    assert await one.patch(read) is None
    assert (await one.get()).display_name == "Renamed"
    assert await one.delete() is None


async def test_an_unknown_role_group_is_reported_with_its_path(client: Client, set_id: str) -> None:
    body = user()
    bind = f"https://graph.microsoft.com/beta/external/industryData/roleGroups('{UNKNOWN}')"
    body.creation_options.configurations[1].additional_data["roleGroup@odata.bind"] = bind
    with pytest.raises(ODataError) as refused:
        await client.flows(set_id).post(body)
    [detail] = refused.value.error.details
    assert detail.target == "$.creationOptions.configurations[1]['roleGroup@odata.bind']"
    assert UNKNOWN in detail.message


# --- errors ------------------------------------------------------------------------------------


async def test_a_refusal_arrives_as_odata_error(client: Client, set_id: str) -> None:
    body = class_group()
    body.configuration = ClassGroupConfiguration(
        enrollment_mappings=EnrollmentMappings(
            owner_enrollment_mappings=[SectionRoleReferenceValue(code="wizard")]
        )
    )
    with pytest.raises(ODataError) as refused:
        await client.flows(set_id).post(body)
    assert refused.value.response_status_code == 400
    error = refused.value.error
    assert error.code == "BadRequest"
    assert error.message.startswith("2 faults")
    assert {detail.target: detail.code for detail in error.details} == {
        "$.configuration.additionalOptions": "MissingProperty",
        "$.configuration.enrollmentMappings.ownerEnrollmentMappings[0].code": "UnknownReference",
    }
    assert uuid.UUID(error.inner_error.request_id)
    assert_just_now(error.inner_error.date.replace(tzinfo=UTC))


async def test_the_abstract_kind_is_refused(client: Client, set_id: str) -> None:
    with pytest.raises(ODataError) as refused:
        await client.flows(set_id).post(
            ProvisioningFlow(odata_type="#microsoft.graph.industryData.provisioningFlow")
        )
    assert refused.value.error.details[0].code == "AbstractType"


async def test_a_second_flow_of_a_kind_is_a_conflict(client: Client, set_id: str) -> None:
    await client.flows(set_id).post(administrative_unit())
    with pytest.raises(ODataError) as refused:
        await client.flows(set_id).post(administrative_unit())
    assert (refused.value.response_status_code, refused.value.error.code) == (409, "Conflict")


async def test_the_kind_of_a_flow_stays(client: Client, set_id: str) -> None:
    created = await client.flows(set_id).post(administrative_unit())
    with pytest.raises(ODataError) as refused:
        await client.flow(set_id, created.id).patch(security_group())
    assert refused.value.error.details[0].code == "InvalidType"


async def test_an_unknown_option_of_the_client_is_reported(client: Client) -> None:
    with pytest.raises(ODataError) as refused:
        await client.sets.get(options(client.sets, filter="nonsense eq 1"))
    assert refused.value.error.details[0].target == "$filter"
    assert "nonsense" in refused.value.error.message


# --- query options -----------------------------------------------------------------------------


@pytest.fixture
async def seven(client: Client) -> tuple[str, list[str]]:
    """Seven sets with names of the test's own: the start of all names, and the ids by name."""
    start = f"sdk {uuid.uuid4()}"
    return start, [await client.new_set(f"{start} {number}") for number in range(7)]


async def test_the_page_iterator_comes_through_all_pages_of_the_size_top(
    client: Client, seven: tuple[str, list[str]]
) -> None:
    start, ids = seven
    found: list[str] = []
    first = await client.sets.get(
        options(
            client.sets,
            filter=f"startswith(displayName,'{start}')",
            orderby=["displayName desc"],
            top=3,
            count=True,
        )
    )
    assert (len(first.value), first.odata_count) == (3, 7)
    client.sent.clear()

    def note(each: OutboundProvisioningFlowSet) -> bool:
        found.append(each.id)
        return True

    iterator = PageIterator(first, client.adapter)
    await iterator.iterate(note)
    assert found == ids[::-1]
    assert len(client.sent) == 2


async def test_filter_orderby_top_skip_and_count(
    client: Client, seven: tuple[str, list[str]]
) -> None:
    start, ids = seven
    listed = await client.sets.get(
        options(
            client.sets,
            filter=f"contains(displayName,'{start}') and not endswith(displayName,'3')",
            orderby=["displayName"],
            top=2,
            skip=2,
            count=True,
        )
    )
    assert [each.id for each in listed.value] == [ids[2], ids[4]]
    assert listed.odata_count == 6


async def test_search_finds_words_of_the_name(client: Client, seven: tuple[str, list[str]]) -> None:
    start, ids = seven
    found = await client.sets.get(options(client.sets, search=f'"{start} 5"'))
    assert [each.id for each in found.value] == [ids[5]]


async def test_select_gives_only_what_was_asked_for(client: Client, set_id: str) -> None:
    read = await client.set(set_id).get(options(client.set(set_id), select=["displayName"]))
    assert read.display_name == "Contoso schools"
    assert read.id is None
    assert read.created_date_time is None


async def test_expand_brings_the_flows_as_their_classes(client: Client, set_id: str) -> None:
    created = [await client.flows(set_id).post(make()) for make in (user, class_group)]
    expand = options(client.set(set_id), expand=["provisioningFlows"])
    read = await client.set(set_id).get(expand)
    assert {type(flow): flow.id for flow in read.provisioning_flows} == {
        type(flow): flow.id for flow in created
    }


async def test_expand_with_select_brings_those_members(client: Client, set_id: str) -> None:
    created = await client.flows(set_id).post(security_group())
    listed = await client.sets.get(
        options(
            client.sets,
            filter=f"id eq '{set_id}'",
            select=["id"],
            expand=["provisioningFlows($select=id,readinessStatus)"],
        )
    )
    [flow] = listed.value[0].provisioning_flows
    assert isinstance(flow, SecurityGroupProvisioningFlow)
    assert flow.id == created.id
    assert flow.readiness_status in (ReadinessStatus.NotReady, ReadinessStatus.Ready)
    assert flow.creation_options is None


async def test_flows_take_a_filter_on_their_own_members(client: Client, set_id: str) -> None:
    for make in FLOWS:
        await client.flows(set_id).post(make())
    flows = client.flows(set_id)
    of_units = "microsoft.graph.industryData.administrativeUnitProvisioningFlow"
    found = await flows.get(
        options(flows, filter=f"{of_units}/creationOptions/createBasedOnOrg", select=["id"])
    )
    assert [type(flow) for flow in found.value] == [AdministrativeUnitProvisioningFlow]


async def test_definitions_and_groups_take_options(client: Client) -> None:
    definitions = client.industry_data.reference_definitions
    found = await definitions.get(
        options(
            definitions,
            filter="referenceType eq 'RefRole' and sortIndex lt 40",
            orderby=["sortIndex desc"],
            select=["code"],
        )
    )
    assert [each.code for each in found.value] == ["professor", "chair", "principal"]
    groups = client.industry_data.role_groups
    staff = await groups.get(options(groups, filter="roles/any(r:r/code eq 'nurse')", top=1))
    assert re.fullmatch("staff|[0-9a-f-]{36}", staff.value[0].id)
