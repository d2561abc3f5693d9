import { TaskError } from '../../wire/tasks/task-error.ts';
import { RunFailure } from '../run-failure.ts';
import type { RunRoom } from '../run-room.ts';
import { isContainerName, maxAliases } from './docker-run.ts';

type Networks = Pick<RunRoom, 'networks' | 'made' | 'log' | 'executor'>;
type NetworkCommand = (room: Networks, words: readonly string[]) => Promise<void>;

const maxNetworks = 100;

/**
 * `docker network …` of a step: what it makes is there for later steps of the run, which join it by `docker run --network`.
 * Throws RunFailure, and TaskError for what is not known.
 */
export async function dockerNetwork(room: Networks, [verb = '', ...words]: readonly string[]): Promise<void> {
  const command = commands.get(verb);
  if (command === undefined)
    throw new TaskError(`docker network ${verb} is not done in steps; these are: ${[...commands.keys()].join(', ')}`);
  await command(room, words);
}

/** Those that containers of the run may be on. */
export function networksOf({ networks, made }: Pick<Networks, 'networks' | 'made'>): readonly string[] {
  return [...networks, ...made.networks];
}

/** Names that `docker network connect` gives, by its words; none where these are not known. */
export function connectAliases(words: readonly string[]): readonly string[] {
  return words.flatMap((word, at) => {
    if (word.startsWith('--alias=')) return [word.slice('--alias='.length)];
    return words[at - 1] === '--alias' ? [word] : [];
  });
}

const create: NetworkCommand = async (room, words) => {
  const [name = '', ...more] = namesOf('create', withoutDriver(words), ['--attachable']);
  if (!isContainerName(name) || more.length > 0)
    throw new TaskError('docker network create needs one name that a network can have');
  if (networksOf(room).includes(name)) throw new RunFailure(`the run has a network ${name} already`);
  if (room.made.networks.size >= maxNetworks)
    throw new RunFailure(`the steps of a run make at most ${maxNetworks} networks`);
  room.made.networks.add(name);
  room.log.plain(`${name}\n`);
};

/** The task's own stay: its steps name them. */
const remove: NetworkCommand = async ({ made, log, executor }, words) => {
  for (const name of namesOf('rm', words, ['-f', '--force'])) {
    if (!made.networks.has(name)) throw new RunFailure(`no step of the run has made a network ${name}`);
    await executor.networks.remove(name);
    made.networks.delete(name);
    log.plain(`${name}\n`);
  }
};

/** Those that no container is on. */
const prune: NetworkCommand = async ({ made, log, executor }, words) => {
  if (namesOf('prune', words, ['-f', '--force']).length > 0) throw new TaskError('docker network prune takes no names');
  const gone: string[] = [];
  for (const name of [...made.networks]) {
    if (await executor.networks.isUsed(name)) continue;
    await executor.networks.remove(name);
    made.networks.delete(name);
    gone.push(name);
  }
  if (gone.length > 0) log.plain(`Deleted Networks:\n${gone.join('\n')}\n`);
};

const connect: NetworkCommand = async (room, words) => {
  const aliases = connectAliases(words);
  const names = namesOf('connect', withoutValues('--alias', words), []);
  const [network, container] = pairOf(room, 'connect', names);
  if (!aliases.every(isContainerName) || aliases.length > maxAliases)
    throw new TaskError(`docker network connect has an --alias that no container can have, or more than ${maxAliases}`);
  await container.connect(network, aliases);
};

const disconnect: NetworkCommand = async (room, words) => {
  const [network, container] = pairOf(room, 'disconnect', namesOf('disconnect', words, ['-f', '--force']));
  await container.disconnect(network);
};

const inspect: NetworkCommand = async (room, words) => {
  const names = namesOf('inspect', words, []);
  for (const name of names) requireNetwork(room, name);
  const all = names.map((name) => ({ Name: name, Scope: 'local', Driver: 'bridge' }));
  room.log.plain(`${JSON.stringify(all, null, 2)}\n`);
};

const list: NetworkCommand = async (room, words) => {
  namesOf('ls', words, []);
  for (const name of networksOf(room)) room.log.plain(`${name}  bridge\n`);
};

const commands: ReadonlyMap<string, NetworkCommand> = new Map([
  ['create', create],
  ['rm', remove],
  ['prune', prune],
  ['connect', connect],
  ['disconnect', disconnect],
  ['inspect', inspect],
  ['ls', list],
]);

function requireNetwork(room: Networks, name: string): void {
  if (!networksOf(room).includes(name)) throw new RunFailure(`the run has no network ${name}`);
}

function pairOf(room: Networks, verb: string, [network = '', name = '', ...more]: readonly string[]) {
  if (name === '' || more.length > 0) throw new TaskError(`docker network ${verb} needs a network and a container`);
  requireNetwork(room, network);
  const container = room.made.containers.get(name);
  if (container === undefined) throw new RunFailure(`the run has no container ${name}`);
  return [network, container] as const;
}

/** All networks are bridges. */
function withoutDriver(words: readonly string[]): readonly string[] {
  const driver = words.findIndex((word) => word === '--driver' || word === '-d');
  const others = driver < 0 || words[driver + 1] !== 'bridge' ? words : words.toSpliced(driver, 2);
  return others.filter((word) => word !== '--driver=bridge');
}

function withoutValues(option: string, words: readonly string[]): readonly string[] {
  return words.filter((word, at) => word !== option && words[at - 1] !== option && !word.startsWith(`${option}=`));
}

/** Without options that change nothing here. */
function namesOf(verb: string, words: readonly string[], ignored: readonly string[]): readonly string[] {
  const names = words.filter((word) => !ignored.includes(word));
  const option = names.find((word) => word.startsWith('-'));
  if (option !== undefined)
    throw new TaskError(
      `docker network ${verb} has the option ${option}, which is not known here: bridges alone are made`,
    );
  return names;
}
