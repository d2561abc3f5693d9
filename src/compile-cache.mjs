import { createHash } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { constants, enableCompileCache, getCompileCacheDir } from 'node:module';
import { dirname, join } from 'node:path';

/** More than a program takes: the rest was left by sources that are gone. */
const mostBytes = 128 * 1024 * 1024;
/** With less free space than this, all of it is for what people push. */
const leastFreeBytes = 512 * 1024 * 1024;
/** Bits of a mode: group or others may write; and where they may, they can rename and remove only what is theirs. */
const othersMayWrite = 0o022;
const isSticky = 0o1000;
const root = 0;
/** Of the folder in the data folder: what any other program may have made has another name, also where `--data` names the wrong folder. */
const folderName = 'berth-compiled';
const ownName = /^[0-9a-f]{16}$/;

/**
 * The data folder of a command that goes on for long, as its flag, the environment or the default have it; undefined for other commands, and
 * where a settings file may say otherwise: it is not read yet.
 *
 * @param {readonly string[]} words of the command line, the command first
 * @param {NodeJS.ProcessEnv} environment
 * @returns {string | undefined}
 */
export function dataFolderOf([command, ...words], environment) {
  if (command !== 'serve' && command !== 'agent') return undefined;
  if (words.includes('--help') || words.includes('-h')) return undefined;
  const at = words.findLastIndex((word) => word === '--data' || word.startsWith('--data='));
  if (at >= 0) return words[at] === '--data' ? words[at + 1] : words[at]?.slice('--data='.length);
  if (environment.BERTH_DATA) return environment.BERTH_DATA;
  const hasFile = environment.BERTH_CONFIG || words.some((word) => /^--config(=|$)/.test(word));
  return hasFile ? undefined : './berth-data';
}

/**
 * Makes the data folder of a first start, so that what it compiles is kept. Where that comes to nothing, as with a wrong setting, the folder
 * leaves again with the process. Nothing is made where the folder above is not there either, and none that is there leaves. Never throws.
 *
 * @param {string} dataFolder
 */
export function makeForFirstStart(dataFolder) {
  try {
    mkdirSync(dataFolder, { mode: 0o700 });
  } catch {
    return;
  }
  process.once('exit', () => {
    try {
      if (readdirSync(dataFolder).some((name) => name !== folderName)) return;
      remove(join(dataFolder, folderName));
      rmdirSync(dataFolder);
    } catch {
      // It stays, as it would for any server that began to work in it.
    }
  });
}

/**
 * Has Node read what it compiled at an earlier start, in place of compiling it again, for all that this process and the workers that it
 * starts import from now on; what is new is written when the process ends, or at `flushCompileCache`. Node runs what it finds there: it is a folder
 * in a data folder that is there, which nobody else can write to or exchange; one in which somebody could have put something is thrown away
 * unread. Never throws: without it a start only takes longer.
 *
 * @param {string} dataFolder
 * @param {string} version of the program
 * @returns {{ kind: 'own', folder: string } | { kind: 'environment' } | { kind: 'none', reason: string }} `environment` where NODE_COMPILE_CACHE
 *   names a place, or NODE_DISABLE_COMPILE_CACHE wants none
 */
export function useCompileCache(dataFolder, version = programVersion()) {
  if (getCompileCacheDir() !== undefined) return { kind: 'environment' };
  const { ENABLED, DISABLED } = constants.compileCacheStatus;
  try {
    const folder = prepared(dataFolder, nameOf(version));
    const { status, message = '' } = enableCompileCache(folder);
    if (status === DISABLED) return { kind: 'environment' };
    if (status !== ENABLED) return { kind: 'none', reason: message };
    // Made by Node, which leaves it to the umask who may write there.
    for (const name of readdirSync(folder)) chmodSync(join(folder, name), 0o700);
    process.env.NODE_COMPILE_CACHE = folder;
    return { kind: 'own', folder };
  } catch (error) {
    return { kind: 'none', reason: error instanceof Error ? error.message : String(error) };
  }
}

function programVersion() {
  return String(JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')).version);
}

/**
 * Sources are known by their paths: what was compiled in another place, or by another Node, is of no use.
 *
 * @param {string} version
 */
function nameOf(version) {
  const program = JSON.stringify([version, process.version, import.meta.dirname]);
  return createHash('sha256').update(program).digest('hex').slice(0, 16);
}

/**
 * Makes the folder of this version of the program, and removes those of others. Throws where it must not be.
 *
 * @param {string} dataFolder
 * @param {string} name
 */
function prepared(dataFolder, name) {
  const data = realpathSync(dataFolder);
  if (!isOurs(lstatSync(data)) || !isKeptInPlace(data)) throw new Error(`others can write to ${data} or exchange it`);
  const { bavail, bsize } = statfsSync(data);
  if (bavail * bsize < leastFreeBytes) throw new Error(`there is little space left in ${data}`);
  const all = join(data, folderName);
  if (!isOurs(statOf(all))) remove(all);
  make(all);
  for (const other of readdirSync(all)) if (other !== name && ownName.test(other)) remove(join(all, other));
  const own = join(all, name);
  if (!isGood(own)) remove(own);
  make(own);
  return own;
}

/**
 * Whether all in it is this user's alone, and it has not grown beyond its limit.
 *
 * @param {string} folder
 */
function isGood(folder) {
  if (!isOurs(statOf(folder))) return false;
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  // Another process of this server may just have renamed one.
  const found = entries
    .map(({ parentPath, name }) => statOf(join(parentPath, name)))
    .filter((stat) => stat !== undefined);
  return found.every(isOurs) && found.reduce((total, { size }) => total + size, 0) <= mostBytes;
}

/**
 * A file or folder that only this user can write to. A link is what nobody needs here.
 *
 * @param {import('node:fs').Stats | undefined} found
 */
function isOurs(found) {
  if (found === undefined) return false;
  return found.uid === process.geteuid?.() && !found.isSymbolicLink() && (found.mode & othersMayWrite) === 0;
}

/**
 * Whether nobody but this user and root can put another folder in its place.
 *
 * @param {string} folder
 * @returns {boolean}
 */
function isKeptInPlace(folder) {
  const parent = dirname(folder);
  if (parent === folder) return true;
  const { uid, mode } = lstatSync(parent);
  const isTrusted = uid === root || uid === process.geteuid?.();
  const isOpen = (mode & othersMayWrite) !== 0 && (mode & isSticky) === 0;
  return isTrusted && !isOpen && isKeptInPlace(parent);
}

/** @param {string} path */
function statOf(path) {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** @param {string} path */
function remove(path) {
  rmSync(path, { recursive: true, force: true });
}

/** @param {string} path of a folder whose parent is there */
function make(path) {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process of this server may have made it.
    if (!isOurs(statOf(path))) throw error;
  }
}
