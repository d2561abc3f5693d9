import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before } from 'node:test';
import { type BerthOptions, type BerthServer, startBerth } from '../support/berth-server.ts';
import { type Outcome, RunError, type RunOptions, tryRun } from '../support/run.ts';
import { type Samples, samples } from '../support/samples.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** One way to reach the default registry. */
export type Target = { readonly name: string; readonly host: string; readonly tls: boolean };

export type StoredManifest = { readonly digest: string; readonly mediaType: string; readonly text: string };

/** A running server, sample content, and a home folder and environment in which clients run apart from the machine's own. */
export class Workbench {
  readonly server: BerthServer;
  readonly samples: Samples;
  /** Where clients run; `samples` in it is the sample layout. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** Plain http on localhost, https on localhost, https on the registry's login server. */
  readonly http: Target;
  readonly https: Target;
  readonly named: Target;
  /** A folder with the certificate authority as `ca.crt`, as docker's and podman's families want it. */
  readonly certificates: string;
  /** A hosts file that names this machine for programs that do not know that `*.localhost` does. */
  readonly hosts: string;
  readonly #remove: () => void;

  constructor(server: BerthServer, content: Samples, folder: ReturnType<typeof temporaryFolder>) {
    this.server = server;
    this.samples = content;
    this.folder = folder.path;
    this.#remove = folder.remove;
    this.http = { name: 'http on localhost', host: `localhost:${server.ports.http}`, tls: false };
    this.https = { name: 'https on localhost', host: `localhost:${server.ports.https}`, tls: true };
    this.named = { name: 'https on its login server', host: server.bootstrap.registry.loginServer, tls: true };
    this.certificates = this.#newFolder('certificates');
    copyFileSync(server.caPath, join(this.certificates, 'ca.crt'));
    // A short name without dots: podman makes an image name of it.
    symlinkSync(content.layout, join(this.folder, 'samples'));
    const home = this.#newFolder('home');
    this.env = {
      HOME: home,
      DOCKER_CONFIG: this.#newFolder('home/.docker'),
      REGISTRY_AUTH_FILE: join(home, 'auth.json'),
      XDG_CONFIG_HOME: this.#newFolder('home/.config'),
      XDG_CACHE_HOME: this.#newFolder('home/.cache'),
      XDG_DATA_HOME: this.#newFolder('home/.data'),
      XDG_RUNTIME_DIR: this.#newFolder('home/.run'),
      SSL_CERT_FILE: server.caPath,
    };
    this.hosts = this.file('hosts', `127.0.0.1 localhost ${this.named.host.split(':')[0]}\n`);
  }

  get targets(): readonly Target[] {
    return [this.http, this.https, this.named];
  }

  get username(): string {
    return this.server.admin.username;
  }

  get password(): string {
    return this.server.admin.password;
  }

  /** Runs a client to its end in this workbench's environment and folder, whatever its exit code. */
  async try(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return await tryRun(command, args, { cwd: this.folder, ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs a client; throws with everything it printed when it fails. */
  async run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    const outcome = await this.try(command, args, options);
    if (outcome.code !== 0) throw new RunError(outcome);
    return outcome.stdout;
  }

  /** Runs a client that must fail; returns all that the person reads. */
  async fail(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    const outcome = await this.try(command, args, options);
    assert.notEqual(outcome.code, 0, `this should have failed: ${outcome.command}\n${outcome.output}`);
    return outcome.output;
  }

  /** A file of the given content below the workbench's folder; returns its path. */
  file(name: string, content: string | Uint8Array): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** What the registry stores under a tag or digest, asked for directly; undefined when it answers 404. */
  async manifest(repository: string, reference: string): Promise<StoredManifest | undefined> {
    const answer = await this.request('GET', `/v2/${repository}/manifests/${reference}`);
    if (answer.status === 404) return undefined;
    assert.equal(answer.status, 200, `GET ${repository}:${reference}`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    assert.equal(answer.headers.get('docker-content-digest'), digest);
    return { digest, mediaType: answer.headers.get('content-type') ?? '', text: bytes.toString('utf8') };
  }

  /** A direct request to the registry as its administrator. */
  async request(method: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    const basic = Buffer.from(`${this.username}:${this.password}`).toString('base64');
    const accept = [
      'application/vnd.oci.image.index.v1+json',
      'application/vnd.oci.image.manifest.v1+json',
      'application/vnd.docker.distribution.manifest.list.v2+json',
      'application/vnd.docker.distribution.manifest.v2+json',
    ].join(', ');
    return await fetch(`${this.server.http}${path}`, {
      method,
      headers: { accept, authorization: `Basic ${basic}`, ...headers },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.remove();
    this.#remove();
  }

  #newFolder(name: string): string {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }
}

/** Starts a server with the settings given and prepares everything a client test needs. */
export async function openWorkbench(options: BerthOptions = {}): Promise<Workbench> {
  const content = await samples();
  return new Workbench(await startBerth(options), content, temporaryFolder('client'));
}

/**
 * Gives the tests of the enclosing `describe` one workbench, opened before the first and closed after the last. When a
 * test fails, the end of the server's log is printed beside the client's own output.
 */
export function useWorkbench(options: BerthOptions = {}): () => Workbench {
  let opened: Workbench | undefined;
  const current = () => {
    assert.ok(opened !== undefined, 'the workbench is open only while tests run');
    return opened;
  };
  before(async () => {
    opened = await openWorkbench(options);
  });
  after(async () => {
    await opened?.[Symbol.asyncDispose]();
  });
  afterEach((context) => {
    if ('passed' in context && !context.passed)
      console.error(`--- end of the server's log\n${current().server.log().slice(-4_000)}\n---`);
  });
  return current;
}
