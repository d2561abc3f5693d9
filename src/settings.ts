import { BlockList, isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { parseBuildKitAddress } from './agent/executors/buildkit-address.ts';
import { type IsolationWish, isolationWishes } from './agent/executors/container-isolation.ts';
import { parseByteSize } from './core/byte-size.ts';
import { parseDuration } from './core/duration.ts';
import { parseAliasImages } from './features/builds/alias-images.ts';
import { parseStorageLimit } from './features/content/storage-limit.ts';
import { parseLogDestinations, parseLogTokens } from './features/insight/log-destination.ts';
import { parseStoreAddress, type StoreAddress } from './platform/blob-store/store-address.ts';

/** What people read about a setting, in `berth settings` and in docs/reference/settings.md. */
export type About = {
  /** What the text is: `path`, `duration`, `size`, `host:port`, `on or off`, ... */
  readonly unit: string;
  /** Text that stands when nobody sets it; empty when there is none. */
  readonly default: string;
  readonly meaning: string;
  /** Never printed. */
  readonly isSecret?: true;
  /** Not offered as a flag: other users of a machine can read a program's arguments. */
  readonly isFlagless?: true;
};

/** Where a server listens. `localhost` stands for 127.0.0.1 and [::1]. */
export type Address = { readonly host: string; readonly port: number };

export const abouts = z.registry<About>();

/** Every setting; its text comes from a flag, else from the environment, else from the settings file. */
export const settingsSchema = z.strictObject({
  config: setting(optional(path), {
    unit: 'path',
    default: '',
    meaning: 'YAML file with settings by these names; a flag or variable goes before it.',
  }),
  data: setting(path, {
    unit: 'path',
    default: './berth-data',
    meaning: 'Folder of this server: embedded database, blobs, certificate authority, keys, bootstrap.json.',
  }),
  http: setting(optional(address), {
    unit: 'host:port or none',
    default: 'localhost:5000',
    meaning: 'Where plain HTTP is served; localhost is both 127.0.0.1 and [::1].',
  }),
  https: setting(optional(address), {
    unit: 'host:port or none',
    default: 'localhost:5443',
    meaning: 'Where HTTPS is served.',
  }),
  management: setting(optional(address), {
    unit: 'host:port',
    default: '',
    meaning:
      'Own HTTPS listener of the control plane; registries answer on the others only. Without it all serve both.',
  }),
  publicPort: setting(optional(port), {
    unit: 'port',
    default: '',
    meaning:
      'Port in login servers and addresses given to clients; the https port unless set. 443 is left out of names.',
  }),
  memoryLimit: setting(optional(parseByteSize), {
    unit: 'size',
    default: '',
    meaning:
      'Memory that all processes of this server may hold; what the system grants its container or unit unless set. Near it new requests get 503.',
  }),
  workers: setting(workerCount, {
    unit: 'count',
    default: '1',
    meaning: 'Processes that answer requests on this machine; more than it has cores are of no use.',
  }),
  domain: setting(domain, {
    unit: 'host name',
    default: 'berth.localhost',
    meaning: 'Registries answer as <name>.<domain>, the control plane as management.<domain>.',
  }),
  database: setting(optional(databaseUrl), {
    unit: 'URL',
    default: '',
    isSecret: true,
    meaning: 'postgres://user:password@host/name; without it SQLite in the data folder. PostgreSQL needs a master key.',
  }),
  blobs: setting(optional(parseStoreAddress), {
    unit: 'path or URL',
    default: '',
    meaning:
      'Where blobs are: a folder (<data>/blob-store unless set), s3://bucket/prefix?region=..., or azure://account/container. Servers that share a database share it.',
  }),
  blobsKeyId: setting(optional(String), {
    unit: 'text',
    default: '',
    meaning: 'Access key id of the S3 store; without it the usual places of AWS are looked at.',
  }),
  blobsKey: setting(optional(String), {
    unit: 'text',
    default: '',
    isSecret: true,
    isFlagless: true,
    meaning:
      'Secret access key of the S3 store, or account key of the Azure one; without it the managed identity of the machine.',
  }),
  backupKeyId: setting(optional(String), {
    unit: 'text',
    default: '',
    meaning: 'Access key id of an object store with backups, where it is not that of the blobs.',
  }),
  backupKey: setting(optional(String), {
    unit: 'text',
    default: '',
    isSecret: true,
    isFlagless: true,
    meaning: 'Secret access key, or account key, of an object store with backups.',
  }),
  blobsRedirect: setting(onOff, {
    unit: 'on or off',
    default: 'off',
    meaning:
      'Send clients that pull a blob to the S3 or Azure store itself, with a signed address; blocks are not checked then.',
  }),
  blobsGone: setting(onOff, {
    unit: 'on or off',
    default: 'off',
    meaning:
      'Start with an empty blob store although the database names blobs in it: they are lost, and wait to be pushed again. For one start: take it out afterwards.',
  }),
  blobsPublicEndpoint: setting(optional(url), {
    unit: 'URL',
    default: '',
    meaning: 'Where clients reach the store, if not at its endpoint.',
  }),
  masterKeyFile: setting(optional(path), {
    unit: 'path',
    default: '',
    meaning: 'File with the key that seals stored secrets, mode 0600; <data>/master.key unless set.',
  }),
  masterKey: setting(optional(String), {
    unit: 'base64',
    default: '',
    isSecret: true,
    isFlagless: true,
    meaning: 'The master key itself, in place of a file.',
  }),
  tlsCertificates: setting(certificatePairs, {
    unit: 'certificate.pem:key.pem, ...',
    default: '',
    meaning: 'Own certificates, chosen by the name a client asks for; other names get one from the private authority.',
  }),
  trustedProxies: setting(networks, {
    unit: 'CIDR, ...',
    default: '',
    meaning: 'Proxies whose X-Forwarded-For, -Proto and -Host are believed.',
  }),
  outboundAllow: setting(networks, {
    unit: 'CIDR, ...',
    default: '',
    meaning: 'Loopback and private addresses that calls made by the server may reach all the same.',
  }),
  outboundHost: setting(hostMap, {
    unit: 'name=host:port, ...',
    default: '',
    meaning: 'Where calls to a public name go instead, such as a mirror.',
  }),
  metrics: setting(optional(address), {
    unit: 'host:port',
    default: '',
    meaning: 'Own listener for GET /metrics; without it /metrics answers only callers on this machine.',
  }),
  metricsRegistries: setting(count, {
    unit: 'registries',
    default: '1000',
    meaning: 'So many registries have metrics of their own at /metrics; the others are added up as _others.',
  }),
  logDestinations: setting((text) => parseLogDestinations(list(text)), {
    unit: 'name=address, ...',
    default: '',
    meaning:
      'Where diagnostic settings may send the logs of registries: file:/path, https://host/path, store:/folder, store:s3://bucket/prefix.',
  }),
  logDestinationTokens: setting((text) => parseLogTokens(list(text)), {
    unit: 'name=token, ...',
    default: '',
    isSecret: true,
    isFlagless: true,
    meaning: 'Bearer tokens for those log destinations that are HTTP addresses.',
  }),
  auditPulls: setting(count, {
    unit: 'number',
    default: '1',
    meaning: 'The audit notes one pull of so many; 1 notes all, 0 none.',
  }),
  auditRetention: setting(optional(auditLife), {
    unit: 'duration',
    default: '',
    meaning:
      'How long pulls, sign-ins and denials stay in the database, at least a day; for ever unless set. Changes stay always.',
  }),
  auditArchive: setting(optional(parseStoreAddress), {
    unit: 'path, s3:// or azure://',
    default: '',
    meaning: 'Where what audit-retention lets go is kept; without it that is gone. Credentials are those of blobs.',
  }),
  identityEndpoint: setting(optional(address), {
    unit: 'host:port',
    default: '',
    meaning:
      'Own plain HTTP listener that gives tokens of managed identities to machines bound by berth identity bind; off unless set.',
  }),
  logLevel: setting(choice('debug', 'info', 'warn', 'error'), {
    unit: 'debug, info, warn or error',
    default: 'info',
    meaning: 'Lines below this level are left out.',
  }),
  logFormat: setting(choice('auto', 'json', 'pretty'), {
    unit: 'auto, json or pretty',
    default: 'auto',
    meaning: 'One JSON object a line, or lines for people; auto is pretty on a terminal.',
  }),
  tokenLifetime: setting(tokenLife, {
    unit: 'duration',
    default: '75m',
    meaning: 'How long a registry access token is good for; a right taken away ends at once all the same.',
  }),
  refreshTokenLifetime: setting(tokenLife, {
    unit: 'duration',
    default: '3h',
    meaning: 'How long a registry refresh token is good for.',
  }),
  maxBlobSize: setting(parseByteSize, {
    unit: 'size',
    default: '200GiB',
    meaning: 'Largest blob accepted.',
  }),
  storageLimitBasic: setting(parseStorageLimit('Basic'), {
    unit: 'included, largest or size',
    default: 'included',
    meaning:
      'Most that a Basic registry may have in use: included is 10GiB, largest 40TiB as in ACR. The push that would pass it is refused.',
  }),
  storageLimitStandard: setting(parseStorageLimit('Standard'), {
    unit: 'included, largest or size',
    default: 'included',
    meaning:
      'Most that a Standard registry may have in use: included is 100GiB, largest 40TiB as in ACR. The push that would pass it is refused.',
  }),
  storageLimitPremium: setting(parseStorageLimit('Premium'), {
    unit: 'included, largest or size',
    default: 'included',
    meaning:
      'Most that a Premium registry may have in use: included is 500GiB, largest 100TiB as in ACR. The push that would pass it is refused.',
  }),
  throttleTable: setting(choice('current', 'older'), {
    unit: 'current or older',
    default: 'current',
    meaning: 'Requests a minute of each SKU: as ACR publishes them now, or its older figures for reads and writes.',
  }),
  throttlePause: setting(throttlePause, {
    unit: 'duration',
    default: '60s',
    meaning: 'How long a bucket of requests that was found empty refuses; it fills meanwhile.',
  }),
  uploadLimit: setting(count, {
    unit: 'count',
    default: '1000',
    meaning: 'Blob uploads that one identity may have open in one registry.',
  }),
  uploadIdleExpiry: setting(parseDuration, {
    unit: 'duration',
    default: '24h',
    meaning: 'An upload that nobody continues for this long is removed.',
  }),
  blobGrace: setting(parseDuration, {
    unit: 'duration',
    default: '24h',
    meaning:
      'A blob that no manifest references is kept this long after its push or last check, and at least seven eighths of it, or half after a check, where others did the same shortly before.',
  }),
  gcInterval: setting(parseDuration, {
    unit: 'duration',
    default: '30s',
    meaning: 'How often blobs that nothing references are looked for; costs little where there are none.',
  }),
  scrubRate: setting(parseByteSize, {
    unit: 'size per second',
    default: '20MiB',
    meaning: 'How fast stored blobs are read again to compare them with their digests.',
  }),
  scrubInterval: setting(parseDuration, {
    unit: 'duration',
    default: '30d',
    meaning: 'From the beginning of one such walk over all blobs to that of the next.',
  }),
  minBodyRate: setting(parseByteSize, {
    unit: 'size per second',
    default: '1KiB',
    meaning: 'Slowest body, sent or received, that is still served.',
  }),
  minBodyRateWindow: setting(parseDuration, {
    unit: 'duration',
    default: '30s',
    meaning: 'Time over which the rate of a body is measured: one that stands still is cut after it.',
  }),
  blockCheck: setting(onOff, {
    unit: 'on or off',
    default: 'on',
    meaning: 'Check the checksum of each stored block before it is sent.',
  }),
  blobMemory: setting(parseByteSize, {
    unit: 'size',
    default: '48MiB',
    meaning:
      'Memory of each process for blobs that are pulled again and again, at most an eighth of what it may hold; a blob takes at most a quarter. 0B for none.',
  }),
  sparseManifests: setting(onOff, {
    unit: 'on or off',
    default: 'off',
    meaning: 'Accept manifests whose blobs and children are not in the registry.',
  }),
  locations: setting(list, {
    unit: 'location, ...',
    default: 'local, public',
    meaning:
      'Locations that resources of the control plane can be in; public stands for the names of the public Azure regions.',
  }),
  oidcIssuer: setting(optional(oidcIssuer), {
    unit: 'URL',
    default: '',
    meaning: 'OpenID provider that people can sign in through as well; off unless set. https, or http on this machine.',
  }),
  oidcClientId: setting(optional(String), {
    unit: 'text',
    default: '',
    meaning: 'What the OpenID provider knows this installation by.',
  }),
  oidcClientSecret: setting(optional(String), {
    unit: 'text',
    default: '',
    isSecret: true,
    isFlagless: true,
    meaning: 'Secret of that client; a public client has none.',
  }),
  oidcName: setting(String, {
    unit: 'text',
    default: 'your organization',
    meaning: 'What the sign-in page calls the OpenID provider: Sign in with ...',
  }),
  oidcScopes: setting(oidcScopes, {
    unit: 'scope ...',
    default: 'openid profile email',
    meaning: 'What the OpenID provider is asked for, parted by spaces; openid is needed.',
  }),
  oidcUserClaim: setting(String, {
    unit: 'claim',
    default: 'preferred_username',
    meaning: 'Claim of the ID token that names a user who is made at the first sign-in.',
  }),
  oidcGroupsClaim: setting(String, {
    unit: 'claim',
    default: 'groups',
    meaning: 'Claim of the ID token that lists the groups of the user.',
  }),
  oidcGroups: setting(groupPairs, {
    unit: 'outside group=our group, ...',
    default: '',
    meaning: 'Which group here, by name or object id, a group of the OpenID provider stands for; owner makes owners.',
  }),
  oidcSessionLifetime: setting(parseDuration, {
    unit: 'duration',
    default: '24h',
    meaning:
      'How long after a sign-in through the OpenID provider clients stay signed in; then the provider is asked again.',
  }),
  builds: setting(onOff, {
    unit: 'on or off',
    default: 'on',
    meaning:
      'Whether this server starts a build agent of its own when a run waits; berth agent joins others whatever this says.',
  }),
  buildSlots: setting(slotCount, {
    unit: 'count',
    default: '2',
    meaning: 'Runs that the agent of this server works on at once.',
  }),
  buildNetwork: setting(onOff, {
    unit: 'on or off',
    default: 'on',
    meaning: 'Whether steps of builds reach more than the registry.',
  }),
  buildAliases: setting((text) => parseAliasImages(list(text)), {
    unit: 'word=image, ...',
    default: '',
    meaning:
      "What bare words stand for as the first of a cmd in a task file, beside az, bash, curl and cssc (acr/az and so on); images without a registry are in the run's own.",
  }),
  buildUnpatchedPullRequests: setting(onOff, {
    unit: 'on or off',
    default: 'off',
    meaning:
      'Whether agents also build pull requests from forks with a buildah or runc that lacks fixes of known escapes from containers, with chroot where --build-isolation asks for it, or with a BuildKit.',
  }),
  buildIsolation: setting(isolationWish, {
    unit: 'auto, oci or chroot',
    default: 'auto',
    meaning:
      'How agents keep containers of a run apart inside its room: auto takes oci where runc is there and starts containers, else chroot, where a step can take the credentials of its run; with oci there is no agent without runc.',
  }),
  buildkit: setting(optional(buildKitAddress), {
    unit: 'address',
    default: '',
    meaning:
      'BuildKit that builds images for the agent, unix:///path or tcp://host:port; buildah does unless set. Steps that are no build run as before.',
  }),
  buildkitTls: setting(optional(path), {
    unit: 'path',
    default: '',
    meaning: 'Folder with ca.pem, cert.pem and key.pem that show the agent to a BuildKit on another machine.',
  }),
  buildctl: setting(path, {
    unit: 'path',
    default: '/usr/local/bin/buildctl',
    meaning: "BuildKit's client on the agent's machine.",
  }),
  buildkitProvenance: setting(provenance, {
    unit: 'off, min or max',
    default: 'off',
    meaning:
      'What BuildKit attaches to images of how they were made; max tells all but of builds that were given secrets.',
  }),
  buildkitSbom: setting(optional(String), {
    unit: 'image',
    default: '',
    meaning: 'Image by which BuildKit lists what is in each image and attaches it; no list unless set.',
  }),
  buildMemory: setting(parseByteSize, {
    unit: 'size',
    default: '4GiB',
    meaning: 'Memory that one run may use.',
  }),
  buildDisk: setting(parseByteSize, {
    unit: 'size',
    default: '20GiB',
    meaning: 'Disk that one run may use.',
  }),
  buildProcesses: setting(count, {
    unit: 'count',
    default: '2048',
    meaning: 'Processes and threads that one run may have at once.',
  }),
  buildLogLimit: setting(parseByteSize, {
    unit: 'size',
    default: '16MiB',
    meaning: 'Bytes that the programs of one run may print into its log; what follows is left out.',
  }),
  buildContextLimit: setting(parseByteSize, {
    unit: 'size',
    default: '4GiB',
    meaning: 'Largest archive of files that may be uploaded for a build.',
  }),
  buildCacheRetention: setting(parseDuration, {
    unit: 'duration',
    default: '14d',
    meaning:
      'Layers in caches of builds (repositories that end with /berth-cache) leave when no build used them so long.',
  }),
  buildQueueLimit: setting(count, {
    unit: 'count',
    default: '1000',
    meaning:
      'Runs of one registry that may wait for an agent; more are refused to those who ask for them, and timers and commits start no task then.',
  }),
  runRetention: setting(parseDuration, {
    unit: 'duration',
    default: '30d',
    meaning: 'How long runs and their logs are kept after their end, but for those that are archived.',
  }),
  gitPollInterval: setting(parseDuration, {
    unit: 'duration',
    default: '5m',
    meaning: 'How often git repositories are looked at that start tasks, where their host does not call.',
  }),
  baseImagePollInterval: setting(parseDuration, {
    unit: 'duration',
    default: '30m',
    meaning: 'How often, in the mean, images of other registries are looked at that images of tasks stand on.',
  }),
  gitHooksUrl: setting(optional(url), {
    unit: 'URL',
    default: '',
    meaning: 'Where hosts of git repositories call; management.<domain> unless that is a name of this machine alone.',
  }),
  agentToken: setting(optional(String), {
    unit: 'text',
    default: '',
    isSecret: true,
    isFlagless: true,
    meaning: 'What berth agent shows the server: a token of its pool, made by berth agent-token create.',
  }),
  server: setting(optional(url), {
    unit: 'URL',
    default: '',
    meaning: 'Server that commands other than serve speak to; the one of <data>/bootstrap.json unless set.',
  }),
});

export type Settings = Readonly<z.infer<typeof settingsSchema>>;
export type SettingName = keyof Settings;

/** The names of all settings, in the order of the documents. */
export const settingNames: readonly SettingName[] = settingsSchema.keyof().options;

export function aboutSetting(name: SettingName): About {
  const about = abouts.get(settingsSchema.shape[name]);
  if (about === undefined) throw new Error(`the setting ${name} has no description`);
  return about;
}

/** `publicPort` as flag and file spell it: `public-port`. */
export function flagOf(name: SettingName): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `publicPort` as the environment spells it: `BERTH_PUBLIC_PORT`. */
export function variableOf(name: SettingName): string {
  return `BERTH_${flagOf(name).replaceAll('-', '_').toUpperCase()}`;
}

export function blobsAddressOf(settings: Settings): StoreAddress {
  return settings.blobs ?? { kind: 'folder', folder: join(settings.data, 'blob-store') };
}

/** The port that names carry. */
export function publicPortOf(settings: Settings): number {
  return settings.publicPort ?? settings.https?.port ?? settings.http?.port ?? 443;
}

function setting<T>(read: (text: string) => T, about: About) {
  const schema = z
    .string()
    .prefault(about.default)
    .transform((text, context) => {
      try {
        return read(text);
      } catch (error) {
        context.addIssue(error instanceof Error ? error.message : String(error));
        return z.NEVER;
      }
    });
  abouts.add(schema, about);
  return schema;
}

function optional<T>(read: (text: string) => T): (text: string) => T | undefined {
  return (text) => (text === '' || text === 'none' ? undefined : read(text));
}

function path(text: string): string {
  if (text === '') throw new RangeError('a path is needed');
  return resolve(text);
}

function port(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 65_535) throw new RangeError('a port is a number from 1 to 65535');
  return value;
}

function address(text: string): Address {
  const [, bracketed, plain, portText = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:/]+)):(\d+)$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) throw new RangeError('an address is host:port, such as localhost:5000 or [::]:5000');
  return { host, port: port(portText) };
}

/** `unix:///path` or `tcp://host:port`. */
function buildKitAddress(text: string): string {
  parseBuildKitAddress(text, undefined);
  return text;
}

function isolationWish(text: string): IsolationWish {
  const found = isolationWishes.find((name) => name === text);
  if (found === undefined) throw new TypeError(`use ${isolationWishes.join(', ')}`);
  return found;
}

function provenance(text: string): 'off' | 'min' | 'max' {
  const found = (['off', 'min', 'max'] as const).find((each) => each === text);
  if (found === undefined) throw new TypeError('must be off, min or max');
  return found;
}

function throttlePause(text: string): number {
  const pauseMs = parseDuration(text);
  if (pauseMs < 1_000 || pauseMs > 3_600_000) throw new RangeError('a duration from 1s to 1h is needed');
  return pauseMs;
}

function domain(text: string): string {
  const name = text.toLowerCase();
  const label = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';
  if (name.length > 190 || !new RegExp(`^${label}(\\.${label})+$`).test(name)) {
    throw new RangeError('a domain has at least two labels of letters, digits and hyphens, such as berth.example.com');
  }
  return name;
}

function url(text: string): string {
  const { protocol, origin } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:')
    throw new RangeError('the address begins with http:// or https://');
  return origin;
}

/** The path counts: it is part of the name of an issuer. */
function oidcIssuer(text: string): string {
  const { protocol, hostname, search, hash, username } = new URL(text);
  const isHere = /^(localhost|.+\.localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
  if (protocol !== 'https:' && !(protocol === 'http:' && isHere))
    throw new RangeError('an issuer begins with https://; http:// is for this machine only');
  if (search !== '' || hash !== '' || username !== '') throw new RangeError('an issuer has no query and no user');
  return text;
}

function oidcScopes(text: string): string {
  const scopes = text.split(/\s+/).filter((scope) => scope !== '');
  if (!scopes.includes('openid')) throw new RangeError('openid has to be among the scopes');
  return scopes.join(' ');
}

/** The last `=` parts them: outside groups may be names of LDAP, whose commas cannot be written here. */
function groupPairs(text: string): { readonly outside: string; readonly ours: string }[] {
  return list(text).map((pair) => {
    const at = pair.lastIndexOf('=');
    const [outside, ours] = [pair.slice(0, Math.max(at, 0)).trim(), pair.slice(at + 1).trim()];
    if (outside === '' || ours === '') throw new RangeError(`${pair} is not of the form outside group=our group`);
    return { outside, ours };
  });
}

function databaseUrl(text: string): string {
  // What follows is the driver's affair: with a Unix socket it is no URL (postgres://user@/name?host=/run/postgresql).
  if (!/^postgres(ql)?:\/\//.test(text)) throw new RangeError('a database address begins with postgres://');
  return text;
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function networks(text: string): string[] {
  return list(text).map((network) => {
    const [address = '', prefix, ...rest] = network.split('/');
    const version = isIP(address);
    const bits = Number(prefix ?? (version === 4 ? 32 : 128));
    if (version === 0 || rest.length > 0 || !Number.isInteger(bits) || bits < 0 || bits > (version === 4 ? 32 : 128)) {
      throw new RangeError(`${network} is not a network such as 10.0.0.0/8 or fd00::/8`);
    }
    return `${address}/${bits}`;
  });
}

/** Every token must end within a day: that is how long a replaced signing key still verifies. */
function tokenLife(text: string): number {
  const ms = parseDuration(text);
  if (ms < 1_000 || ms > 86_400_000) throw new RangeError('a token lives from 1s to 24h');
  return ms;
}

/** Checkpoints and the index are minutes behind: what is younger than a day is never taken. */
function auditLife(text: string): number {
  const ms = parseDuration(text);
  if (ms < 86_400_000) throw new RangeError('what the audit notes stays a day at least');
  return ms;
}

/** Answers whether an address lies in one of the networks (`networks` gave them). */
export function blockListOf(cidrs: readonly string[]): BlockList {
  const blocks = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/');
    blocks.addSubnet(address, Number(bits), isIP(address) === 4 ? 'ipv4' : 'ipv6');
  }
  return blocks;
}

function hostMap(text: string): ReadonlyMap<string, Address> {
  return new Map(
    list(text).map((entry) => {
      const [name = '', target = '', ...rest] = entry.split('=');
      if (name === '' || rest.length > 0) throw new RangeError(`${entry} is not of the form name=host:port`);
      return [name.toLowerCase(), address(target)];
    }),
  );
}

export type CertificatePair = { readonly certPath: string; readonly keyPath: string };

function certificatePairs(text: string): CertificatePair[] {
  return list(text).map((pair) => {
    const [certificate, key, ...rest] = pair.split(':');
    if (!certificate || !key || rest.length > 0)
      throw new RangeError(`${pair} is not of the form certificate.pem:key.pem`);
    return { certPath: resolve(certificate), keyPath: resolve(key) };
  });
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new RangeError('a whole number is needed');
  return Number(text);
}

function slotCount(text: string): number {
  const slots = count(text);
  if (slots < 1 || slots > 64) throw new RangeError('a number from 1 to 64 is needed');
  return slots;
}

function workerCount(text: string): number {
  const workers = count(text);
  if (workers < 1 || workers > 64) throw new RangeError('a number from 1 to 64 is needed');
  return workers;
}

function choice<const Options extends readonly [string, ...string[]]>(...options: Options) {
  return (text: string): Options[number] => {
    const found = options.find((option) => option === text);
    if (found === undefined) throw new RangeError(`one of ${options.join(', ')} is needed`);
    return found;
  };
}

function onOff(text: string): boolean {
  if (text !== 'on' && text !== 'off') throw new RangeError('on or off is needed');
  return text === 'on';
}
