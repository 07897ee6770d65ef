// What a program does with the types of openapi-typescript: it creates, lists, patches and deletes
// flows of all four kinds, and prints what it saw as JSON.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type All = components["schemas"];
// Names as in Graph's own description, without the namespace.
type Short<T> = T extends `microsoft.graph.industryData.${infer Name}` ? Name : never;
type Schemas = { [Name in Short<keyof All>]: All[`microsoft.graph.industryData.${Name}`] };
type ODataError = All["microsoft.graph.ODataErrors.ODataError"];
declare const process: { env: { ORIGIN: string; TOKEN: string } };

const SETS = "/beta/external/industryData/outboundProvisioningFlowSets";
const SET = `${SETS}/{outboundProvisioningFlowSet-id}` as const;
const FLOWS = `${SET}/provisioningFlows` as const;
const FLOW = `${FLOWS}/{provisioningFlow-id}` as const;
const STAFF = "https://graph.microsoft.com/beta/external/industryData/roleGroups/staff";
const NAMESPACE = "#microsoft.graph.industryData.";

const client = createClient<paths>({
  baseUrl: process.env.ORIGIN,
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
});

function taken<T>(result: { data?: T; error?: ODataError }): NonNullable<T> {
  // All errors are of one type.
  if (result.error) throw new Error(result.error.error.message);
  if (!result.data) throw new Error("There is no body");
  return result.data;
}

const filter: Schemas["basicFilterCreate"] = {
  "@odata.type": `${NAMESPACE}basicFilter`,
  attribute: "orgExternalId",
  in: ["7001"],
};
const set = taken(await client.POST(SETS, { body: { displayName: "TypeScript", filter } }));
const inSet = { path: { "outboundProvisioningFlowSet-id": set.id! } };
await client.PATCH(SET, { params: inSet, body: { displayName: "Generated" } });

const unit: Schemas["administrativeUnitProvisioningFlowCreate"] = {
  "@odata.type": `${NAMESPACE}administrativeUnitProvisioningFlow`,
  creationOptions: { createBasedOnOrg: true, createBasedOnOrgPlusRoleGroup: false },
};
const classes: Schemas["classGroupProvisioningFlowCreate"] = {
  "@odata.type": `${NAMESPACE}classGroupProvisioningFlow`,
  configuration: {
    additionalAttributes: ["courseTitle"],
    additionalOptions: { createTeam: true, writeDisplayNameOnCreateOnly: false },
    enrollmentMappings: { ownerEnrollmentMappings: [{ code: "teacher" }] },
  },
};
const groups: Schemas["securityGroupProvisioningFlowCreate"] = {
  "@odata.type": `${NAMESPACE}securityGroupProvisioningFlow`,
  creationOptions: { createBasedOnRoleGroup: true, createBasedOnOrgPlusRoleGroup: false },
};
const users: Schemas["userProvisioningFlowCreate"] = {
  "@odata.type": `${NAMESPACE}userProvisioningFlow`,
  createUnmatchedUsers: true,
  managementOptions: { additionalOptions: { studentAgeGroup: "minor" } },
  creationOptions: {
    configurations: [{ "roleGroup@odata.bind": STAFF, licenseSkus: ["A1"] }],
  },
};
const created: Schemas["provisioningFlow"][] = [];
for (const body of [unit, classes, groups, users]) {
  created.push(taken(await client.POST(FLOWS, { params: inSet, body })));
}

const first = taken(
  await client.GET(FLOWS, { params: { ...inSet, query: { $top: 3, $count: true } } }),
);
const listed = taken(await client.GET(FLOWS, { params: inSet })).value;

const changes: Record<string, Schemas["provisioningFlowUpdate"]> = {
  [unit["@odata.type"]]: {
    "@odata.type": unit["@odata.type"],
    creationOptions: { createBasedOnOrg: false },
  } as Schemas["administrativeUnitProvisioningFlowUpdate"],
  [classes["@odata.type"]]: {
    "@odata.type": classes["@odata.type"],
    configuration: { additionalOptions: { createTeam: false } },
  } as Schemas["classGroupProvisioningFlowUpdate"],
  [groups["@odata.type"]]: {
    "@odata.type": groups["@odata.type"],
    creationOptions: { createBasedOnRoleGroup: false },
  } as Schemas["securityGroupProvisioningFlowUpdate"],
  [users["@odata.type"]]: {
    "@odata.type": users["@odata.type"],
    createUnmatchedUsers: false,
  } as Schemas["userProvisioningFlowUpdate"],
};
// What a kind has of its own: the name of the kind tells the types apart.
type Kind =
  | Schemas["administrativeUnitProvisioningFlow"]
  | Schemas["classGroupProvisioningFlow"]
  | Schemas["securityGroupProvisioningFlow"]
  | Schemas["userProvisioningFlow"];
function own(flow: Kind): boolean | null | undefined {
  switch (flow["@odata.type"]) {
    case "#microsoft.graph.industryData.administrativeUnitProvisioningFlow":
      return flow.creationOptions?.createBasedOnOrg;
    case "#microsoft.graph.industryData.classGroupProvisioningFlow":
      return flow.configuration?.additionalOptions?.createTeam;
    case "#microsoft.graph.industryData.securityGroupProvisioningFlow":
      return flow.creationOptions?.createBasedOnRoleGroup;
    case "#microsoft.graph.industryData.userProvisioningFlow":
      return flow.createUnmatchedUsers;
  }
}
const patched: Record<string, unknown> = {};
for (const flow of listed) {
  const kind = flow["@odata.type"];
  const before = own(flow as Kind);
  const params = {
    path: { ...inSet.path, "provisioningFlow-id": flow.id! },
    header: { Prefer: "return=representation" },
  };
  const changed = taken(await client.PATCH(FLOW, { params, body: changes[kind]! }));
  patched[kind.replace(NAMESPACE, "")] = [before, own(changed as Kind), changed.readinessStatus];
}

for (const flow of listed) {
  const params = { path: { ...inSet.path, "provisioningFlow-id": flow.id! } };
  const { response } = await client.DELETE(FLOW, { params });
  if (response.status !== 204) throw new Error(`DELETE was answered with ${response.status}`);
}
const left = taken(await client.GET(FLOWS, { params: inSet })).value;
const again = await client.GET(FLOW, {
  params: { path: { ...inSet.path, "provisioningFlow-id": listed[0]!.id! } },
});
console.log(
  JSON.stringify({
    statuses: created.map((flow) => flow.readinessStatus),
    page: [first.value.length, first["@odata.count"], Boolean(first["@odata.nextLink"])],
    patched,
    left: left.length,
    error: again.error?.error.code,
    set: taken(await client.GET(SET, { params: inSet })).displayName,
  }),
);
await client.DELETE(SET, { params: inSet });
