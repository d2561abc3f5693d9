import { TaskError } from '../../wire/tasks/task-error.ts';
import { RunFailure } from '../run-failure.ts';
import type { RunRoom } from '../run-room.ts';

type Networks = Pick<RunRoom, 'networks' | 'made' | 'log'>;
type NetworkCommand = (room: Networks, names: readonly string[]) => void;

const maxNetworks = 100;

/**
 * `docker network …` of a step: what it makes is there for later steps of the run, which join it by `docker run --network`.
 * Throws RunFailure, and TaskError for what is not known.
 */
export function dockerNetwork(room: Networks, [verb = '', ...words]: readonly string[]): void {
  const command = commands.get(verb);
  if (command === undefined)
    throw new TaskError(`docker network ${verb} is not done in steps; these are: ${[...commands.keys()].join(', ')}`);
  command(room, namesIn(verb, words));
}

/** Those that containers of the run may be on. */
export function networksOf({ networks, made }: Omit<Networks, 'log'>): readonly string[] {
  return [...networks, ...made.networks];
}

const create: NetworkCommand = (room, [name = '', ...more]) => {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/.test(name) || more.length > 0)
    throw new TaskError('docker network create needs one name that a network can have');
  if (networksOf(room).includes(name)) throw new RunFailure(`the run has a network ${name} already`);
  if (room.made.networks.size >= maxNetworks)
    throw new RunFailure(`the steps of a run make at most ${maxNetworks} networks`);
  room.made.networks.add(name);
  room.log.plain(`${name}\n`);
};

/** The task's own stay: its steps name them. */
const remove: NetworkCommand = ({ made, log }, names) => {
  for (const name of names) {
    if (!made.networks.delete(name)) throw new RunFailure(`no step of the run has made a network ${name}`);
    log.plain(`${name}\n`);
  }
};

const inspect: NetworkCommand = (room, names) => {
  const missing = names.find((name) => !networksOf(room).includes(name));
  if (missing !== undefined) throw new RunFailure(`the run has no network ${missing}`);
  const all = names.map((name) => ({ Name: name, Scope: 'local', Driver: 'bridge' }));
  room.log.plain(`${JSON.stringify(all, null, 2)}\n`);
};

const list: NetworkCommand = (room) => {
  for (const name of networksOf(room)) room.log.plain(`${name}  bridge\n`);
};

const commands: ReadonlyMap<string, NetworkCommand> = new Map([
  ['create', create],
  ['rm', remove],
  ['inspect', inspect],
  ['ls', list],
]);

/** All networks are bridges, and attachable. */
function namesIn(verb: string, words: readonly string[]): readonly string[] {
  const driver = words.findIndex((word) => word === '--driver' || word === '-d');
  const others = driver < 0 || words[driver + 1] !== 'bridge' ? words : words.toSpliced(driver, 2);
  const names = others.filter((word) => word !== '--driver=bridge' && word !== '--attachable');
  const option = names.find((word) => word.startsWith('-'));
  if (option !== undefined)
    throw new TaskError(
      `docker network ${verb} has the option ${option}, which is not known here: bridges alone are made`,
    );
  return names;
}
