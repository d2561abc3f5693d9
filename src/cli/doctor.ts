import { lookup } from 'node:dns/promises';
import { connect, type NetConnectOpts } from 'node:net';
import { type Command, type CommandContext, exitCodes, type Surroundings } from './command.ts';
import { certificateOf, clockOf, type Finding, foldersOf, portFree, type TlsPlace } from './doctor-checks.ts';
import { causeCode, isCertificateCode } from './fetch-from.ts';

const timeoutMs = 5_000;

export const doctorCommands: readonly Command[] = [
  {
    words: ['doctor'],
    purpose: 'look for what keeps the server or its clients from working, and say what to do',
    run: async (context) => {
      const findings = await examine(context);
      for (const finding of findings) context.print(lineOf(finding));
      return findings.every(({ isWell }) => isWell) ? exitCodes.done : exitCodes.failed;
    },
  },
];

function lineOf({ what, isWell, advice, isNote }: Finding): string {
  if (!isWell) return `WRONG  ${what}${advice === undefined ? '' : `\n       ${advice}`}`;
  return `${isNote ? 'note  ' : 'ok    '} ${what}`;
}

async function examine(context: CommandContext): Promise<Finding[]> {
  const around = context.surroundings();
  const health = around.origin === undefined ? undefined : await readiness(around.origin);
  const server = health === undefined ? await stoppedServer(around) : runningServer(health);
  const { names, storageNames } = await namesOf(context, around, health !== undefined);
  const resolved = await Promise.all([...names.map(resolves), ...storageNames.map(storageResolves)]);
  const reached = [...names, ...storageNames].filter((_, index) => resolved[index]?.isNote !== true);
  const answered = health === undefined ? [] : await answers(context, around, reached);
  const builds = await buildsOf(context);
  const store = await storeOf(context);
  return [
    settingsOf(context),
    ...foldersOf(around.dataFolder, around.blobsFolder),
    ...store,
    ...server,
    ...resolved,
    ...answered,
    ...builds,
  ];
}

/** The place of the blobs as this machine sees it, whether or not a server runs. */
async function storeOf(context: CommandContext): Promise<Finding[]> {
  // Of another machine's nothing is known here.
  if (context.settings().find(({ name }) => name === 'server')?.value !== '') return [];
  const found = await context.store();
  const what = `blob store ${found.place}`;
  if ('failure' in found)
    return [
      {
        what: `${what}: ${found.failure}`,
        isWell: false,
        advice:
          'Look at the address (--blobs), its credentials (BERTH_BLOBS_KEY, BERTH_BLOBS_KEY_ID) and the way there.',
      },
    ];
  if (found.owner === 'another')
    return [
      {
        what: `${what} belongs to another installation`,
        isWell: false,
        advice: 'Give the database that belongs to it, or another place for the blobs (--blobs).',
      },
    ];
  if (found.owner === 'lost')
    return [
      {
        what: `${what} is not there or empty, and this installation has had one`,
        isWell: false,
        advice:
          'Mount it, or correct --blobs, before the server starts, which refuses to without its blobs (--blobs-gone).',
      },
    ];
  const owners = {
    ours: 'is of this installation',
    nobody: "is nobody's yet (claimed at the first start)",
    unknown: 'is of an installation',
  };
  const refusal = found.databaseRefusal;
  return [
    { what: `${what} ${owners[found.owner]}`, isWell: true },
    ...(refusal === undefined
      ? []
      : [{ what: `database: ${refusal}`, isWell: false, advice: 'Correct --database (BERTH_DATABASE).' }]),
  ];
}

/** Whether the server's own agent can work here; where it cannot, others do it. */
async function buildsOf(context: CommandContext): Promise<Finding[]> {
  const textOf = (setting: string) => context.settings().find(({ name }) => name === setting)?.value;
  const note = (what: string): Finding => ({ what, isWell: true, isNote: true });
  // Of another machine nothing is known here.
  if (textOf('server') !== '') return [];
  if (textOf('builds') === 'off')
    return [note('builds are left to agents that are started by themselves: berth agent')];
  const { executor, isolation, missing, warnings } = await context.buildHost();
  if (missing.length > 0)
    return [
      ...missing.map((line) => note(`builds cannot be done here: ${line}`)),
      note('builds wait for agents on other machines: berth agent'),
    ];
  return [
    { what: `builds can be done here: ${executor}, ${isolation}`, isWell: true },
    ...warnings.map((line) => note(`builds: ${line}`)),
  ];
}

/** Wrong ones have ended the command before: this says where they come from. */
function settingsOf(context: CommandContext): Finding {
  const set = context.settings().filter(({ source }) => source !== 'default');
  const sources = Map.groupBy(set, ({ source }) => kindOf(source));
  const told = [...sources].map(([source, lines]) => `${lines.length} by ${source}`).join(', ');
  return { what: `settings are valid (${told === '' ? 'all default' : told})`, isWell: true };
}

function kindOf(source: string): string {
  if (source.startsWith('--')) return 'flags';
  return source.startsWith('BERTH_') ? 'variables' : `the file ${source.split(': ')[0]}`;
}

/** What only a server that answers can be asked. */
async function answers(context: CommandContext, around: Surroundings, names: readonly string[]): Promise<Finding[]> {
  const { origin = '' } = around;
  const place = tlsPlaceOf(around);
  const certificates = place === undefined ? [] : await Promise.all(names.map((name) => certificateOf(name, place)));
  return [...(await clockOf(origin)), ...certificates, ...(await unenforced(context))];
}

/** Where clients meet TLS: where commands do, if the server is elsewhere. */
function tlsPlaceOf({ origin = '', listeners }: Surroundings): TlsPlace | undefined {
  const url = new URL(origin);
  if (url.protocol === 'https:') return { host: url.hostname, port: Number(url.port || 443) };
  return listeners.find(({ name }) => name === 'https');
}

type Readiness = { readonly parts: Readonly<Record<string, string>> } | { readonly untrusted: string };

/** What the server says of itself; undefined when nothing answers. */
async function readiness(origin: string): Promise<Readiness | undefined> {
  try {
    const answer = await fetch(`${origin}/readyz`, { signal: AbortSignal.timeout(timeoutMs) });
    const parts: unknown = await answer.json();
    return { parts: Object.fromEntries(Object.entries(parts ?? {}).map(([name, value]) => [name, String(value)])) };
  } catch (error) {
    const code = causeCode(error);
    return code !== undefined && isCertificateCode(code) ? { untrusted: code } : undefined;
  }
}

function runningServer(readiness: Readiness): Finding[] {
  if ('untrusted' in readiness) {
    const advice =
      'The certificate is not from the authority in bootstrap.json: restart the server, or correct tls-certificates.';
    return [{ what: `server certificate (${readiness.untrusted})`, isWell: false, advice }];
  }
  const parts = Object.entries(readiness.parts).map(([name, state]) => ({
    what: `${name}: ${state}`,
    isWell: state === 'ok',
    advice: 'The log of the server tells why, in the line "not ready".',
  }));
  return [{ what: 'server answers, certificate trusted', isWell: true }, ...parts];
}

async function stoppedServer(around: Surroundings): Promise<Finding[]> {
  const database = around.databaseUrl === undefined ? [] : [await databaseReachable(around.databaseUrl)];
  // What is starting may hold the ports already.
  const ports = around.holder === undefined ? await Promise.all(around.listeners.map(portFree)) : [];
  const what =
    around.holder === undefined
      ? 'server is not running (start it: berth serve)'
      : `server is starting or ending, or a command works on its data: process ${around.holder}`;
  return [{ what, isWell: true, isNote: true }, ...ports, ...database];
}

async function databaseReachable(url: string): Promise<Finding> {
  const { what, target } = databaseTarget(url);
  const socket = connect({ ...target, timeout: timeoutMs });
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  socket.once('connect', () => resolve(undefined));
  socket.once('timeout', () => resolve('no answer'));
  socket.once('error', (error) => resolve('code' in error ? String(error.code) : error.message));
  const failure = await promise;
  socket.destroy();
  if (failure === undefined) return { what, isWell: true };
  return { what: `${what} (${failure})`, isWell: false, advice: 'Start PostgreSQL there, or correct --database.' };
}

/** An address with a Unix socket is no URL: `postgres://user@/name?host=/run/postgresql`. */
function databaseTarget(url: string): { readonly what: string; readonly target: NetConnectOpts } {
  const folder = /[?&]host=([^&]+)/.exec(url)?.[1];
  if (folder !== undefined) {
    const path = `${decodeURIComponent(folder)}/.s.PGSQL.${/[?&]port=(\d+)/.exec(url)?.[1] ?? 5432}`;
    return { what: `database socket ${path} can be reached`, target: { path } };
  }
  const { hostname: host, port } = new URL(url);
  const target = { host, port: Number(port || 5432) };
  return { what: `database host ${host}:${target.port} can be reached`, target };
}

type Names = { readonly names: readonly string[]; readonly storageNames: readonly string[] };

/** Host names that clients need: every login server and the control plane's; those of files and logs of builds. */
async function namesOf(context: CommandContext, around: Surroundings, isRunning: boolean): Promise<Names> {
  const registries = isRunning ? await (await context.connect()).registryList() : [];
  const loginServers = registries.map(({ loginServer }) => loginServer.replace(/:\d+$/, ''));
  return {
    names: ['localhost', `management.${around.domain}`, ...loginServers],
    storageNames: loginServers.map((name) => name.replace('.', '.blob.')),
  };
}

/** Settings of registries that are accepted and do nothing yet. */
async function unenforced(context: CommandContext): Promise<Finding[]> {
  const registries = await (await context.connect()).unenforcedList();
  if (registries.length === 0) return [{ what: 'every setting of the registries is enforced', isWell: true }];
  return registries.flatMap(({ name, settings }) =>
    settings.map(({ setting, until }) => ({
      what: `registry ${name}: ${setting} is stored and not enforced yet: ${until}`,
      isWell: true,
      isNote: true,
    })),
  );
}

async function resolves(name: string): Promise<Finding> {
  try {
    const { address } = await lookup(name);
    return { what: `name ${name} is ${address}`, isWell: true };
  } catch {
    const advice = `Add a DNS record, or on this machine the line "127.0.0.1 ${name}" to /etc/hosts.`;
    return { what: `name ${name} does not resolve`, isWell: false, advice };
  }
}

/** An installation that builds nothing needs none. */
async function storageResolves(name: string): Promise<Finding> {
  const found = await resolves(name);
  if (found.isWell) return found;
  const what = `${found.what}: az acr build and the logs of runs need it. ${found.advice ?? ''}`;
  return { what, isWell: true, isNote: true };
}
