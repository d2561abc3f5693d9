import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

import { type Bootstrap, bootstrapSchema, readJsonIfThere } from './bootstrap-file.ts';
import { accessCommands } from './cli/access.ts';
import { agentCommands } from './cli/agent.ts';
import { agentTokenCommands } from './cli/agent-token.ts';
import { auditCommands } from './cli/audit.ts';
import { azCloudCommands } from './cli/az-cloud.ts';
import {
  type CloudSurroundings,
  type CommandContext,
  exitCodes,
  NoServer,
  type SettingLine,
  type Surroundings,
} from './cli/command.ts';
import { credentialCommands } from './cli/credential.ts';
import { doctorCommands } from './cli/doctor.ts';
import { fetchFrom } from './cli/fetch-from.ts';
import { identityCommands } from './cli/identity.ts';
import { keyCommands } from './cli/key.ts';
import { lifecycleCommands } from './cli/lifecycle.ts';
import { operateCommands } from './cli/operate.ts';
import { purgeCommands } from './cli/purge.ts';
import { registryCommands } from './cli/registry.ts';
import { retentionCommands } from './cli/retention.ts';
import { runCli } from './cli/run-cli.ts';
import { serverCommands } from './cli/server.ts';
import { tagCommands } from './cli/tag.ts';
import { taskCommands } from './cli/task.ts';
import { templateCommands } from './cli/template.ts';
import { throttleCommands } from './cli/throttle.ts';
import { createAdminClient } from './client/admin-client.ts';
import { DataFolder } from './data-folder.ts';
import { type LoadedSettings, loadSettings, SettingsError } from './load-settings.ts';
import { aboutSetting, blobsAddressOf, flagOf, type Settings, settingNames } from './settings.ts';

const requestTimeoutMs = 30_000;
const commands = [
  ...serverCommands,
  ...doctorCommands,
  ...azCloudCommands,
  ...registryCommands,
  ...throttleCommands,
  ...taskCommands,
  ...credentialCommands,
  ...accessCommands,
  ...identityCommands,
  ...keyCommands,
  ...operateCommands,
  ...retentionCommands,
  ...purgeCommands,
  ...lifecycleCommands,
  ...templateCommands,
  ...agentCommands,
  ...agentTokenCommands,
  ...tagCommands,
  ...auditCommands,
];

process.stdout.on('error', () => {
  // Nobody reads what we print; a server goes on all the same.
});
const print = (text: string) => console.log(text);
const complain = (text: string) => console.error(text);

try {
  process.exitCode = await runCli(process.argv.slice(2), {
    version: versionOf(),
    commands,
    settingFlags: settingNames
      .filter((name) => !aboutSetting(name).isFlagless)
      .map((name) => ({ flag: flagOf(name), ...aboutSetting(name) })),
    contextFor,
    print,
    complain,
  });
} catch (error) {
  complain(`berth: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = error instanceof SettingsError ? exitCodes.usage : exitCodes.failed;
}

function contextFor(flags: Readonly<Record<string, string>>): CommandContext {
  const loaded = loadSettings({ flags, environment: process.env, readFile: (path) => readFileSync(path, 'utf8') });
  const { settings } = loaded;
  const bootstrap = () => readJsonIfThere(new DataFolder(settings.data).bootstrap, bootstrapSchema);
  return {
    print,
    complain,
    version: versionOf(),
    connect: async () => connect(settings, bootstrap()),
    serve: async () => {
      // Only here: the other commands need none of it.
      const { serve } = await import('./server.ts');
      const failpoints = process.env.FAILPOINT;
      await serve(settings, { print, version: versionOf(), command: commandOf(), words: wordsOf(), failpoints });
      exitSoon();
      return exitCodes.done;
    },
    agent: async (task) => {
      const { startAgent } = await import('./start-agent.ts');
      const known = bootstrap();
      if (known !== undefined) trust(known.caCertificate);
      const origin = settings.server ?? known?.endpoints.management;
      const isDone = await startAgent(task, settings, { print, complain, origin, fetch: fetchFrom(origin ?? '') });
      exitSoon();
      return isDone ? exitCodes.done : exitCodes.failed;
    },
    buildHost: async () => {
      const { buildHostOf } = await import('./start-agent.ts');
      return await buildHostOf(settings);
    },
    store: async () => {
      const { findStore } = await import('./doctor-store.ts');
      return await findStore(settings);
    },
    offline: async (task) => {
      const { runOfflineTask } = await import('./offline-tasks.ts');
      const readFile = (path: string) => readFileSync(path, 'utf8');
      return (await runOfflineTask(task, { settings, print, readFile })) ? exitCodes.done : exitCodes.failed;
    },
    settings: () => linesOf(loaded),
    surroundings: () => surroundingsOf(settings, bootstrap()),
    cloud: () => cloudOf(settings, bootstrap()),
  };
}

/** A log reader that has stalled would keep the process alive for ever; what it has not taken by then is lost. */
function exitSoon(): void {
  setTimeout(() => process.exit(), 1_000).unref();
}

function connect(settings: Settings, bootstrap: Bootstrap | undefined) {
  if (bootstrap === undefined) throw noBootstrap(settings);
  trust(bootstrap.caCertificate);
  const { userName, password } = bootstrap.owner;
  const origin = settings.server ?? bootstrap.endpoints.management;
  return createAdminClient({
    ...{ origin, username: userName, password },
    fetch: fetchFrom(origin),
    timeoutMs: requestTimeoutMs,
  });
}

function surroundingsOf(settings: Settings, bootstrap: Bootstrap | undefined): Surroundings {
  if (bootstrap !== undefined) trust(bootstrap.caCertificate);
  const { http, https, management, metrics, identityEndpoint } = settings;
  return {
    dataFolder: settings.data,
    blobsFolder: blobsFolderOf(settings),
    holder: new DataFolder(settings.data).holder(),
    domain: settings.domain,
    listeners: Object.entries({ http, https, management, metrics, 'identity-endpoint': identityEndpoint }).flatMap(
      ([name, address]) => (address === undefined ? [] : [{ name, ...address }]),
    ),
    databaseUrl: settings.database,
    origin: settings.server ?? bootstrap?.endpoints.management,
    caCertificate: bootstrap?.caCertificate,
  };
}

function blobsFolderOf(settings: Settings): string | undefined {
  const address = blobsAddressOf(settings);
  return address.kind === 'folder' ? address.folder : undefined;
}

function noBootstrap({ data }: Settings): NoServer {
  return new NoServer(`no bootstrap.json in ${data}: start the server first, or give its folder with --data`);
}

/** Writes the file of authorities anew each time: the public ones change with the machine. */
function cloudOf(settings: Settings, bootstrap: Bootstrap | undefined): CloudSurroundings {
  if (bootstrap === undefined) throw noBootstrap(settings);
  const { endpoints, tenantId, owner, registry, caCertificate } = bootstrap;
  const caBundle = new DataFolder(settings.data).caBundle;
  const authorities = [
    ...getCACertificates('system'),
    ...getCACertificates('bundled'),
    readFileSync(caCertificate, 'utf8'),
  ];
  writeFileSync(caBundle, `${[...new Set(authorities.map((pem) => pem.trim()))].join('\n')}\n`);
  const loginServerSuffix = registry.loginServer.slice(registry.loginServer.indexOf('.'));
  const origin = settings.server ?? endpoints.management;
  return { origin, domain: settings.domain, loginServerSuffix, caBundle, tenantId, owner, registry };
}

/** Has `fetch` believe certificates of the private authority, beside the public ones. */
function trust(caCertificate: string): void {
  setDefaultCACertificates([...getCACertificates(), readFileSync(caCertificate, 'utf8')]);
}

function linesOf({ origins }: LoadedSettings): SettingLine[] {
  return origins.map(({ name, text, source }) => {
    const { unit, meaning, isSecret } = aboutSetting(name);
    return { name: flagOf(name), value: isSecret && text !== '' ? '***' : text, source, unit, meaning };
  });
}

/** Stands two folders up from the sources as well as from the built program: package.json. */
function versionOf(): string {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8'));
  return String(version);
}

/** How this process was started: by `start.mjs`, or by this file. */
function wordsOf(): [string, ...string[]] {
  const [, started = import.meta.filename] = process.argv;
  return [process.execPath, ...process.execArgv, started];
}

/** How a person calls this program from the folder they are in. */
function commandOf(): string {
  const isSource = import.meta.filename.endsWith('.ts');
  return isSource
    ? relative(process.cwd(), join(import.meta.dirname, '../bin/berth'))
    : `node ${relative(process.cwd(), import.meta.filename)}`;
}
