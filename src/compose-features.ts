import { hkdfSync } from 'node:crypto';
import { loginServerOf } from './addresses.ts';
import { createAuthorize } from './features/access/authorize.ts';
import { Callers } from './features/access/callers.ts';
import { createExplain } from './features/access/explain.ts';
import { RegistryTokens } from './features/access/registry-tokens.ts';
import { createRightsSource } from './features/access/rights-source.ts';
import { RunTokens } from './features/access/run-tokens.ts';
import { createExchangeToken } from './features/access/token-exchange.ts';
import { createIssueTokens } from './features/access/token-service.ts';
import { AttributeChanges } from './features/content/attribute-changes.ts';
import { createAuthorizedChange, createAuthorizedChanges } from './features/content/authorized-change.ts';
import { Blobs } from './features/content/blobs.ts';
import { createContentHindrances } from './features/content/content-hindrances.ts';
import { Deletions } from './features/content/deletions.ts';
import { LastPulls } from './features/content/last-pulls.ts';
import { Listings } from './features/content/listings.ts';
import { Manifests } from './features/content/manifests.ts';
import { Metadata } from './features/content/metadata.ts';
import { RecentRepositories } from './features/content/recent-repositories.ts';
import { RepositoryTemplates } from './features/content/repository-templates.ts';
import { TagMoves } from './features/content/tag-moves.ts';
import { UploadTickets } from './features/content/upload-tickets.ts';
import { Uploads } from './features/content/uploads.ts';
import { UsageReports } from './features/content/usage-reports.ts';
import { AuthorizationCodes } from './features/identity/authorization-codes.ts';
import { ClientAssertions } from './features/identity/client-assertions.ts';
import { createFindClient } from './features/identity/clients.ts';
import { DeviceCodes } from './features/identity/device-codes.ts';
import { IdentityBindings } from './features/identity/identity-bindings.ts';
import { OutsideAccounts } from './features/identity/outside-accounts.ts';
import { OutsideIssuers } from './features/identity/outside-issuers.ts';
import { OutsideProvider } from './features/identity/outside-provider.ts';
import { OutsideSignIn } from './features/identity/outside-sign-in.ts';
import { createSignIn, type SignIn } from './features/identity/sign-in.ts';
import { SignInSessions } from './features/identity/sign-in-sessions.ts';
import { SigningKeys } from './features/identity/signing-keys.ts';
import { createTenantCaller } from './features/identity/tenant-caller.ts';
import { TenantDirectory } from './features/identity/tenant-directory.ts';
import { TenantTokens } from './features/identity/tenant-tokens.ts';
import { openDirectory } from './features/registries/directory.ts';
import { createRegistries } from './features/registries/registries.ts';
import { DeletedListings } from './features/retention/deleted-listings.ts';
import { Lifecycles } from './features/retention/lifecycles.ts';
import { RemovalGuard } from './features/retention/removal-guard.ts';
import { Restores } from './features/retention/restores.ts';
import { LeasedBuckets } from './features/throttling/leased-buckets.ts';
import { OwnBuckets } from './features/throttling/own-buckets.ts';
import { Throttle } from './features/throttling/throttle.ts';
import { defaultRegistryName } from './installation.ts';
import type { Data } from './open-data.ts';
import type { MasterKeys } from './platform/keys/master-keys.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { systemIds as ids } from './platform/system-ids.ts';
import { hotBytesOf } from './process-memory.ts';
import type { Settings } from './settings.ts';

const tenantTokenSeconds = 3_600;

export type Features = Awaited<ReturnType<typeof composeFeatures>>;

/** What the product does, in the order of the import rule. */
export async function composeFeatures(settings: Settings, data: Data) {
  const { tenantUid, region } = data.installation;
  const loginServer = (name: string) => loginServerOf(settings, name);
  const directory = await openDirectory({ ...data, tenantUid, loginServerOf: loginServer, defaultRegistryName });
  const registries = createRegistries({ ...data, directory, tenantUid });
  const keys = new SigningKeys({ ...data, tenantUid, purpose: 'registryToken' });
  const lifetimes = {
    accessTokenSeconds: settings.tokenLifetime / 1_000,
    refreshTokenSeconds: settings.refreshTokenLifetime / 1_000,
  };
  const tokens = new RegistryTokens({ keys, clock, ids, lifetimes, tenantId: data.installation.tenantId });
  const signIn = createSignIn({ ...data, tenantUid });
  const callers = new Callers({ ...data, directory, signIn, tokens });
  const { accessLog } = data;
  const rightsSource = createRightsSource(data);
  const authorize = createAuthorize({ callers, directory, rightsSource, accessLog });
  const tenantKeys = new SigningKeys({ ...data, tenantUid, purpose: 'tenantToken' });
  const tenant = composeTenant(settings, data, signIn, tenantKeys);
  const issuing = { ...data, callers, directory, rightsSource, tokens, tenantTokens: tenant.tenantTokens };

  const recent = new RecentRepositories();
  const content = {
    ...data,
    recent,
    change: createAuthorizedChange(data.database, data.journal, recent),
    graceMs: settings.blobGrace,
    region,
    lastPulls: new LastPulls(data),
    storageLimits: {
      Basic: settings.storageLimitBasic,
      Standard: settings.storageLimitStandard,
      Premium: settings.storageLimitPremium,
    },
  };
  const deletions = new Deletions(content);
  const limits = {
    idleMs: settings.uploadIdleExpiry,
    maxBlobBytes: settings.maxBlobSize,
    maxOpenPerIdentity: settings.uploadLimit,
    graceMs: settings.blobGrace,
  };
  return {
    ...tenant,
    signingKeys: [tenantKeys, keys],
    directory,
    registries,
    authorize,
    explain: createExplain({
      ...data,
      directory,
      rightsSource,
      hindrances: createContentHindrances(content),
      tenantUid,
    }),
    issueTokens: createIssueTokens(issuing),
    exchangeToken: createExchangeToken(issuing),
    throttle: composeThrottle(settings, data),
    runTokens: new RunTokens({ ...issuing, tenantUid }),
    blobs: new Blobs({ ...content, isChecked: settings.blockCheck, hotBytes: hotBytesOf(settings) }),
    uploads: new Uploads({
      ...content,
      limits,
      tickets: new UploadTickets(derivedKey(data.masterKeys, 'upload tickets')),
    }),
    manifests: new Manifests({ ...content, isSparseAllowed: settings.sparseManifests }),
    deletions,
    lastPulls: content.lastPulls,
    repositoryTemplates: new RepositoryTemplates(content),
    lifecycles: new Lifecycles({ ...content, deletions }),
    tagMoves: new TagMoves({ ...content, changes: createAuthorizedChanges(data.database, data.journal) }),
    attributeChanges: new AttributeChanges(content),
    metadata: new Metadata(content),
    usageReports: new UsageReports(content),
    deletedListings: new DeletedListings(data.database),
    restores: new Restores({ ...content, isSparseAllowed: settings.sparseManifests }),
    deletedExpiry: content,
    removalGuard: new RemovalGuard({ ...data, graceMs: settings.blobGrace }),
    listings: new Listings(data.database),
  };
}

/** With the embedded database and no workers nobody else counts. */
function composeThrottle({ workers, database, throttleTable, throttlePause }: Settings, data: Data): Throttle {
  const buckets = database === undefined && workers === 1 ? new OwnBuckets(clock) : new LeasedBuckets(data);
  return new Throttle({ buckets, addresses: new OwnBuckets(clock), table: throttleTable, pauseMs: throttlePause });
}

/** Sign-in of the tenant, and its directory. */
function composeTenant(settings: Settings, data: Data, signIn: SignIn, keys: SigningKeys) {
  const { tenantUid, tenantId } = data.installation;
  const { domain } = settings;
  const tenantTokens = new TenantTokens({ ...data, keys, tenantId, domain, lifetimeSeconds: tenantTokenSeconds });
  const outsideIssuers = new OutsideIssuers(data.outbound, clock);
  return {
    signIn,
    tenantTokens,
    tenantCaller: createTenantCaller({ ...data, tenantTokens }),
    clientAssertions: new ClientAssertions({ ...data, outsideIssuers, tenantUid }),
    sessions: new SignInSessions({ ...data, outsideLifetimeMs: settings.oidcSessionLifetime }),
    deviceCodes: new DeviceCodes(data),
    authorizationCodes: new AuthorizationCodes(data),
    outsideSignIn: composeOutsideSignIn(settings, data),
    findClient: createFindClient(data.database, tenantUid),
    tenantDirectory: new TenantDirectory({ ...data, tenantUid }),
    identityBindings: new IdentityBindings({ ...data, tenantUid }),
  };
}

/** Sign-in through an outside provider; undefined when none is set. */
function composeOutsideSignIn(settings: Settings, data: Data): OutsideSignIn | undefined {
  const { oidcIssuer: issuer, oidcClientId: clientId, oidcClientSecret: clientSecret } = settings;
  if (issuer === undefined) return undefined;
  if (clientId === undefined) throw new Error('sign-in through an OpenID provider needs a client id: --oidc-client-id');
  const outsideProvider = new OutsideProvider(data, {
    issuer,
    clientId,
    clientSecret,
    name: settings.oidcName,
    scopes: settings.oidcScopes,
    userClaim: settings.oidcUserClaim,
    groupsClaim: settings.oidcGroupsClaim,
  });
  const { tenantUid } = data.installation;
  const outsideAccounts = new OutsideAccounts({ ...data, tenantUid }, settings.oidcGroups);
  return new OutsideSignIn({ ...data, outsideProvider, outsideAccounts });
}

/** The same in every process of the installation. */
function derivedKey([{ bytes }]: MasterKeys, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', bytes, '', `berth ${purpose}`, 32));
}
