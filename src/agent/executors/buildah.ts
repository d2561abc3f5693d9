import { z } from 'zod';
import { isDigest } from '../../core/digest.ts';
import type { RunPlatform } from '../../wire/builds/run-work.ts';
import { formatImageName, parseImageName, withHub, withTag } from '../../wire/tasks/image-name.ts';
import { ProgramError } from '../program.ts';
import { RunFailure } from '../run-failure.ts';
import { type Cell, type CellProgram, givenFile } from './cell.ts';
import type { ContainerIsolation } from './container-isolation.ts';
import { createContainerNetworks, type JoinedNetwork } from './container-network.ts';
import { directList } from './direct-list.ts';
import type { ContainerRun, Executor, ExecutorOptions, ImageBuild, ImageConfig, RunningContainer } from './executor.ts';
import { canHide, hideValues, type NamedValue } from './hidden-values.ts';
import { watchLimits } from './reached-limits.ts';
import { TailFilter } from './tail-filter.ts';

export type BuildahOptions = {
  readonly cell: Cell;
  readonly isolation: ContainerIsolation;
  /** Of HTTP proxies and their like: seen by the builder and by what it runs. */
  readonly env: Readonly<Record<string, string>>;
};

type HeldOptions = ExecutorOptions & Pick<ContainerRun, 'cpus'>;

const isolationWords: Readonly<Record<ContainerIsolation, readonly string[]>> = {
  oci: ['--isolation', 'oci', '--runtime', 'runc'],
  chroot: ['--isolation', 'chroot'],
};

/** Builds with buildah, all of it inside the run's cell. Source: buildah(1); ACR tasks, 7.3. */
export function createBuildah({ cell, env, isolation }: BuildahOptions): Executor {
  const { folder } = cell;
  const storage = ['--root', `${folder}/storage`, '--runroot', `${folder}/runroot`, '--storage-driver', 'overlay'];
  const words = (verb: string, ...rest: readonly string[]) => ['buildah', ...storage, verb, ...rest];
  const programEnv = { ...env, REGISTRY_AUTH_FILE: givenFile, BUILDAH_FORMAT: 'docker' };
  const logins = new Map<string, { readonly auth: string }>();
  /** Credentials are no file of the cell: steps are hostile, and builders have let them read the cell's files. */
  const program = () => ({ env: programEnv, given: JSON.stringify({ auths: Object.fromEntries(logins) }) });
  const show = async (
    line: readonly string[],
    { output, signal }: ExecutorOptions,
    { env: own, cpus }: Pick<CellProgram, 'env' | 'cpus'> = {},
  ) => {
    const reached = await watchLimits(cell);
    const code = await cell.run(line, {
      ...program(),
      env: { ...programEnv, ...own },
      cpus,
      signal,
      onOutput: (chunk) => {
        reached.see(chunk);
        return output.add(chunk);
      },
    });
    await output.end();
    if (code !== 0) throw new ProgramError(line[0] ?? '', code, await reached.explain());
  };
  const read = (line: readonly string[], signal?: AbortSignal) =>
    cell.read(line, { ...program(), ...(signal === undefined ? {} : { signal }) });
  const keepLogin: Executor['keepLogin'] = (server, username, password) => {
    logins.set(hostOf(server), { auth: Buffer.from(`${username}:${password}`).toString('base64') });
  };
  /** Names that stand for one image since the run built it: of others it is asked whether they are an index. */
  const plain = new Set<string>();
  const markPlain = (names: readonly string[], isPlain: boolean) => {
    for (const name of names) {
      if (isPlain) plain.add(withTag(name));
      else plain.delete(withTag(name));
    }
  };
  const isIndex = async (image: string, signal: AbortSignal) =>
    !plain.has(withTag(image)) &&
    (await cell.run(words('manifest', 'inspect', '--', image), { ...program(), signal })) === 0;
  const networks = createContainerNetworks(cell);
  let containers = 0;
  let pushes = 0;

  return {
    networks,
    signIn: async (server, username, password, { signal }) => {
      const input = new TextEncoder().encode(password);
      const line = words('login', '--username', username, '--password-stdin', '--', server);
      const loginEnv = { ...env, REGISTRY_AUTH_FILE: '/dev/shm/auth.json' };
      await cell.read([...hidingWords, ...line], { env: loginEnv, signal, input });
      keepLogin(server, username, password);
    },
    keepLogin,
    build: async (build, options) => {
      const given = [...build.arguments].flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }]));
      const hidden = hideValues('--build-arg', given);
      await show([...hidden.before, ...words('build', ...hidden.words, ...buildWords(build, isolation))], options, {
        env: hidden.env,
        cpus: build.cpus,
      });
      const [first, ...others] = build.tags;
      if (build.platforms.length > 1 && first !== undefined) {
        for (const other of others) await read(words('tag', first, other), options.signal);
      }
      markPlain(build.tags, build.platforms.length <= 1);
    },
    tag: async (from, to, { signal }) => {
      await read(words('tag', '--', from, to), signal);
      markPlain([to], plain.has(withTag(from)));
    },
    pull: async (image, options) => {
      await show(words('pull', '--', image), options);
      markPlain([image], false);
    },
    push: async (image, options) => {
      pushes += 1;
      // Steps at the same time push too.
      const digestFile = `${folder}/tmp/digest-${pushes}`;
      const [verb, ...more] = (await isIndex(image, options.signal))
        ? (['manifest', 'push', '--all'] as const)
        : (['push'] as const);
      await show(words(verb, ...more, '--digestfile', digestFile, '--', image, `docker://${image}`), options);
      const digest = (await cell.read(['cat', '--', digestFile], { signal: options.signal })).trim();
      if (!isDigest(digest)) throw new RunFailure(`buildah does not tell the digest under which ${image} was pushed`);
      return digest;
    },
    createIndex: async (name, images, { signal }) => {
      await read(words('manifest', 'create', '--', name, ...images), signal);
      markPlain([name], false);
    },
    digestsOf: async (images, signal) => {
      if (images.length === 0) return new Map();
      const listed = listSchema.safeParse(JSON.parse(await read(words('images', '--json'), signal)));
      const digests = new Map(listed.data?.flatMap(({ names, digest }) => (names ?? []).map((name) => [name, digest])));
      return new Map(
        images.flatMap((image) => {
          const digest = digests.get(formatImageName(withHub(parseImageName(withTag(image)))));
          return digest === undefined ? [] : [[image, digest] as const];
        }),
      );
    },
    configOf: async (image, signal) => configIn(await read(words('inspect', '--type', 'image', '--', image), signal)),
    start: async (container, options) => {
      containers += 1;
      const name = `run-${containers}`;
      // Without a word it is pulled where it is missing; releases do not agree on what `--pull` alone is.
      const from = ['--quiet', '--name', name, ...(container.pulls ? ['--pull-always'] : []), '--', container.image];
      await read(words('from', ...from), options.starting);
      // Beside the words, which every user of the machine can list.
      const { hidden, shown } = splitEnv(container.env);
      if (hidden.words.length > 0) {
        const line = [...hidden.before, ...words('config', ...hidden.words, '--', name)];
        await cell.read(line, { env: { ...programEnv, ...hidden.env }, signal: options.starting });
      }
      const image = configIn(await read(words('inspect', '--type', 'container', '--', name), options.starting));
      const line = [...(container.entryPoint === undefined ? image.entryPoint : [container.entryPoint])];
      line.push(
        ...(container.arguments.length > 0 || container.entryPoint !== undefined ? container.arguments : image.command),
      );
      if (line.length === 0)
        throw new ProgramError('run', 125, `the image ${container.image} names no program: give one`);
      const joined = await networks.join(container.name, container.network, container.aliases);
      const runWords = words(
        'run',
        ...isolationWords[isolation],
        ...networkWords(joined, isolation),
        ...runOptions({ ...container, env: shown }, joined, pastProxy(env, joined.direct)),
        '--',
        name,
        ...line,
      );
      return run([...inNetwork(joined, isolation), ...runWords], joined, { ...options, cpus: container.cpus });
    },
  };

  async function runToEnd(line: readonly string[], { output, signal, cpus }: HeldOptions): Promise<number> {
    const tail = new TailFilter();
    const reached = await watchLimits(cell);
    try {
      const onOutput = (chunk: Uint8Array) => {
        reached.see(chunk);
        return output.add(tail.add(chunk));
      };
      const code = await cell.run(line, { env: programEnv, cpus, signal, onOutput });
      const why = code === 0 ? '' : await reached.explain();
      if (why !== '') throw new ProgramError('run', code, why);
      return code;
    } finally {
      await output.add(tail.end());
      await output.end();
    }
  }

  function run(
    line: readonly string[],
    { leave, connect, disconnect }: JoinedNetwork,
    { output, signal, cpus }: HeldOptions,
  ): RunningContainer {
    const stopper = new AbortController();
    const running = runToEnd(line, { output, signal: AbortSignal.any([signal, stopper.signal]), cpus });
    // What cannot be given back goes with the cell.
    const exited = running.finally(() => leave().catch(() => undefined));
    exited.catch(() => {
      // Whoever waits for the container is told; a detached one may have nobody.
    });
    const stop = async () => {
      stopper.abort(new ProgramError('run', 143, 'stopped'));
      await exited.catch(() => undefined);
    };
    return { exited, stop, connect, disconnect };
  }
}

/** Its `/dev/shm` is seen by the program alone, and gone with it. */
const hidingWords = ['unshare', '--mount', '--', 'sh', '-ec', 'mount -t tmpfs tmpfs /dev/shm; exec "$@"', 'sh'];

/** Of a server as people write it; buildah keeps credentials by host. */
function hostOf(server: string): string {
  return server.replace(/^https?:\/\//, '').split('/')[0] ?? '';
}

function buildWords(build: ImageBuild, isolation: ContainerIsolation): string[] {
  const isIndex = build.platforms.length > 1;
  const [firstTag] = build.tags;
  const tags = isIndex ? ['--manifest', firstTag ?? 'localhost/untagged'] : build.tags.flatMap((tag) => ['--tag', tag]);
  return [
    ...isolationWords[isolation],
    ...['--network', 'host', '--format', 'docker', '--retry', '2', '--file', build.dockerfile],
    ...tags,
    ...platformWords(build.platforms.map(platformName)),
    ...[...build.arguments].flatMap(([name, value]) => (value === undefined ? ['--build-arg', name] : [])),
    ...(build.target === undefined ? [] : ['--target', build.target]),
    ...build.labels.flatMap((label) => ['--label', label]),
    ...build.annotations.flatMap((annotation) => ['--annotation', annotation]),
    ...build.secrets.flatMap((secret) => ['--secret', secret]),
    ...build.addedHosts.flatMap((host) => ['--add-host', host]),
    ...(build.hasCache ? [] : ['--no-cache']),
    ...(build.pulls ? ['--pull-always'] : []),
    ...(build.isSquashed ? ['--squash'] : []),
    ...(build.cacheRepository === undefined ? [] : cacheWords(build.cacheRepository)),
    '--',
    build.context,
  ];
}

/** Of the environment of a container: what its program has without any words, and the entries that need them. */
function splitEnv(entries: readonly string[]) {
  const values = entries.map((entry): NamedValue => {
    const [name = ''] = entry.split('=', 1);
    return { name, value: entry.slice(name.length + 1) };
  });
  const hidden = values.filter(({ name }) => canHide(name));
  return { hidden: hideValues('--env', hidden), shown: entries.filter((_, at) => !canHide(values[at]?.name ?? '')) };
}

/** The machine's own needs no word; with one, buildah warns of arguments that nobody gave. */
function platformWords(platforms: readonly string[]): string[] {
  const own = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`;
  return platforms.length === 1 && platforms[0] === own ? [] : ['--platform', platforms.join(',')];
}

function cacheWords(repository: string): string[] {
  return ['--layers', '--cache-from', repository, '--cache-to', repository];
}

function platformName({ os, architecture, variant }: RunPlatform): string {
  const name = architecture === 'x86' ? '386' : architecture;
  return `${os}/${name}${variant === undefined ? '' : `/${variant}`}`;
}

/** What it says of proxies, with more that is reached without. */
function pastProxy(env: Readonly<Record<string, string>>, direct: readonly string[]): Readonly<Record<string, string>> {
  const known = env.NO_PROXY;
  if (known === undefined) return env;
  const all = directList([...known.split(','), ...direct]);
  return { ...env, NO_PROXY: all, no_proxy: all };
}

/** Chroot isolation joins no network: there the builder itself is put into that of the container. */
function networkWords({ namespace }: Pick<JoinedNetwork, 'namespace'>, isolation: ContainerIsolation): string[] {
  return ['--network', isolation === 'oci' ? `ns:${namespace}` : 'host'];
}

function inNetwork({ namespace }: Pick<JoinedNetwork, 'namespace'>, isolation: ContainerIsolation): string[] {
  return isolation === 'oci' ? [] : ['nsenter', `--net=${namespace}`, '--'];
}

function runOptions(
  container: ContainerRun,
  network: Pick<JoinedNetwork, 'hostsFile'>,
  env: Readonly<Record<string, string>>,
): string[] {
  const { workingDirectory, user } = container;
  return [
    ...['--hostname', container.name, '--no-hosts'],
    ...['--volume', `${network.hostsFile}:/etc/hosts`],
    ...Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    ...container.env.flatMap((entry) => ['--env', entry]),
    ...(workingDirectory === undefined ? [] : ['--workingdir', workingDirectory]),
    ...(user === undefined ? [] : ['--user', user]),
    // All but the right over the network: the run's network is what keeps it apart.
    ...(container.isPrivileged ? ['--cap-add', 'all', '--cap-drop', 'CAP_NET_ADMIN'] : []),
    ...[...container.mounts].flatMap(([target, source]) => ['--volume', `${source}:${target}`]),
  ];
}

/** `digest` is what the registry answered for the name: of an index where it is one. */
const listSchema = z.array(z.object({ names: z.array(z.string()).nullish(), digest: z.string().optional() }));

const inspectSchema = z.object({
  OCIv1: z.object({
    config: z
      .object({
        Entrypoint: z.array(z.string()).nullish(),
        Cmd: z.array(z.string()).nullish(),
        Env: z.array(z.string()).nullish(),
        Labels: z.record(z.string(), z.string()).nullish(),
      })
      .nullish(),
  }),
});

function configIn(text: string): ImageConfig {
  const { config } = inspectSchema.parse(JSON.parse(text)).OCIv1;
  const { Entrypoint, Cmd, Env, Labels } = config ?? {};
  return { entryPoint: Entrypoint ?? [], command: Cmd ?? [], env: Env ?? [], labels: Labels ?? {} };
}
