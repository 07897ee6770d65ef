"""What a program does with the client of openapi-python-client.

It creates, lists, patches and deletes flows of all four kinds, and prints what it saw as JSON.
"""

# The generated package is nowhere when this file is checked: each test makes its own.
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from industry_data_client import AuthenticatedClient, models
from industry_data_client.api.external_industry_data_root import (
    external_industry_data_create_outbound_provisioning_flow_sets,
    external_industry_data_delete_outbound_provisioning_flow_sets,
    external_industry_data_get_outbound_provisioning_flow_sets,
    external_industry_data_outbound_provisioning_flow_sets_create_provisioning_flows,
    external_industry_data_outbound_provisioning_flow_sets_delete_provisioning_flows,
    external_industry_data_outbound_provisioning_flow_sets_get_provisioning_flows,
    external_industry_data_outbound_provisioning_flow_sets_list_provisioning_flows,
    external_industry_data_outbound_provisioning_flow_sets_update_provisioning_flows,
    external_industry_data_update_outbound_provisioning_flow_sets,
)

create_set = external_industry_data_create_outbound_provisioning_flow_sets
delete_set = external_industry_data_delete_outbound_provisioning_flow_sets
get_set = external_industry_data_get_outbound_provisioning_flow_sets
update_set = external_industry_data_update_outbound_provisioning_flow_sets
create_flow = external_industry_data_outbound_provisioning_flow_sets_create_provisioning_flows
delete_flow = external_industry_data_outbound_provisioning_flow_sets_delete_provisioning_flows
get_flow = external_industry_data_outbound_provisioning_flow_sets_get_provisioning_flows
list_flows = external_industry_data_outbound_provisioning_flow_sets_list_provisioning_flows
update_flow = external_industry_data_outbound_provisioning_flow_sets_update_provisioning_flows

STAFF = "https://graph.microsoft.com/beta/external/industryData/roleGroups/staff"
NEW = (
    models.AdministrativeUnitProvisioningFlowCreate(
        creation_options=models.AdminUnitCreationOptionsCreate(
            create_based_on_org=True, create_based_on_org_plus_role_group=False
        )
    ),
    models.ClassGroupProvisioningFlowCreate(
        configuration=models.ClassGroupConfigurationCreate(
            additional_attributes=[models.AdditionalClassGroupAttributes.COURSETITLE],
            additional_options=models.AdditionalClassGroupOptionsCreate(
                create_team=True, write_display_name_on_create_only=False
            ),
            enrollment_mappings=models.EnrollmentMappingsCreate(
                owner_enrollment_mappings=[models.SectionRoleReferenceValueCreate(code="teacher")]
            ),
        )
    ),
    models.SecurityGroupProvisioningFlowCreate(
        creation_options=models.SecurityGroupCreationOptionsCreate(
            create_based_on_role_group=True, create_based_on_org_plus_role_group=False
        )
    ),
    models.UserProvisioningFlowCreate(
        create_unmatched_users=True,
        management_options=models.UserManagementOptionsCreate(
            additional_options=models.AdditionalUserOptionsCreate(
                student_age_group=models.StudentAgeGroup.MINOR
            )
        ),
        creation_options=models.UserCreationOptionsCreate(
            configurations=[
                models.UserConfigurationCreate(role_groupodata_bind=STAFF, license_skus=["A1"])
            ]
        ),
    ),
)
CHANGES = (
    models.AdministrativeUnitProvisioningFlowUpdate(
        creation_options=models.AdminUnitCreationOptionsUpdate(create_based_on_org=False)
    ),
    models.ClassGroupProvisioningFlowUpdate(
        configuration=models.ClassGroupConfigurationUpdate(
            additional_options=models.AdditionalClassGroupOptionsUpdate(create_team=False)
        )
    ),
    models.SecurityGroupProvisioningFlowUpdate(
        creation_options=models.SecurityGroupCreationOptionsUpdate(create_based_on_role_group=False)
    ),
    models.UserProvisioningFlowUpdate(create_unmatched_users=False),
)
# What a kind has of its own: its class by its name.
OWN: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "administrativeUnitProvisioningFlow": (
        models.AdministrativeUnitProvisioningFlow,
        lambda flow: flow.creation_options.create_based_on_org,
    ),
    "classGroupProvisioningFlow": (
        models.ClassGroupProvisioningFlow,
        lambda flow: flow.configuration.additional_options.create_team,
    ),
    "securityGroupProvisioningFlow": (
        models.SecurityGroupProvisioningFlow,
        lambda flow: flow.creation_options.create_based_on_role_group,
    ),
    "userProvisioningFlow": (
        models.UserProvisioningFlow,
        lambda flow: flow.create_unmatched_users,
    ),
}


def kind(flow: Any) -> str:
    name: str = flow.odata_type.rpartition(".")[2]
    return name


def own(flow: models.ProvisioningFlow) -> Any:
    type_, member = OWN[kind(flow)]
    return member(type_.from_dict(flow.to_dict()))


def run(client: AuthenticatedClient) -> dict[str, Any]:
    """Return what was seen."""
    organisations = models.BasicFilterCreate(
        attribute=models.FilterOptions.ORGEXTERNALID, in_=["7001"]
    )
    flow_set = create_set.sync(
        client=client,
        body=models.OutboundProvisioningFlowSetCreate(
            display_name="Python",
            # This generator knows no derived types: inside another body it wants the base.
            filter_=models.FilterCreate.from_dict(organisations.to_dict()),
        ),
    )
    new_name = models.OutboundProvisioningFlowSetUpdate(display_name="Generated")
    update_set.sync_detailed(flow_set.id, client=client, body=new_name)
    created = [create_flow.sync(flow_set.id, client=client, body=body) for body in NEW]
    first = list_flows.sync(flow_set.id, client=client, top=3, count=True)
    listed = list_flows.sync(flow_set.id, client=client).value
    patched = {}
    for flow in listed:
        [change] = [each for each in CHANGES if kind(each) == kind(flow)]
        changed = update_flow.sync(
            flow_set.id, flow.id, client=client, body=change, prefer="return=representation"
        )
        patched[kind(flow)] = [own(flow), own(changed), changed.readiness_status]
    for flow in listed:
        gone = delete_flow.sync_detailed(flow_set.id, flow.id, client=client)
        assert gone.status_code == 204
    left = list_flows.sync(flow_set.id, client=client).value
    error = get_flow.sync(flow_set.id, listed[0].id, client=client)
    name = get_set.sync(flow_set.id, client=client).display_name
    delete_set.sync_detailed(flow_set.id, client=client)
    return {
        "statuses": [flow.readiness_status for flow in created],
        "page": [len(first.value), first.odata_count, bool(first.odata_next_link)],
        "patched": patched,
        "left": len(left),
        "error": error.error.code,
        "set": name,
    }


if __name__ == "__main__":
    with AuthenticatedClient(os.environ["ORIGIN"], token=os.environ["TOKEN"]) as authenticated:
        print(json.dumps(run(authenticated)))
