import { parse as parseYaml } from 'yaml';
import {
  aboutSetting,
  flagOf,
  type SettingName,
  type Settings,
  settingNames,
  settingsSchema,
  variableOf,
} from './settings.ts';

/** Someone wrote a setting that cannot be used; the message tells which and what would do. Exit code 2. */
export class SettingsError extends Error {}

export type SettingSources = {
  /** By flag name without dashes. */
  readonly flags: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Reads the settings file as text. */
  readonly readFile: (path: string) => string;
};

export type LoadedSettings = {
  readonly settings: Settings;
  /** One per setting: its text as it was set, and where (`--http`, `BERTH_HTTP`, `berth.yaml: http`, `default`). */
  readonly origins: readonly SettingOrigin[];
};

export type SettingOrigin = { readonly name: SettingName; readonly text: string; readonly source: string };

/** Reads every setting: flag, else environment, else file, else default. Throws SettingsError. */
export function loadSettings(sources: SettingSources): LoadedSettings {
  const flags = known(sources.flags, (name) => (aboutSetting(name).isFlagless ? undefined : flagOf(name)), '--');
  const variables = known(onlyOurs(sources.environment), variableOf, '');
  const configPath = flags.get('config') ?? variables.get('config');
  const file = configPath ? known(readYaml(configPath, sources.readFile), flagOf, '') : new Map<SettingName, string>();
  const origins = settingNames.map((name): SettingOrigin => {
    const flag = flags.get(name);
    if (flag !== undefined) return { name, text: flag, source: `--${flagOf(name)}` };
    const variable = variables.get(name);
    if (variable !== undefined) return { name, text: variable, source: variableOf(name) };
    const line = file.get(name);
    if (line !== undefined) return { name, text: line, source: `${configPath}: ${flagOf(name)}` };
    return { name, text: aboutSetting(name).default, source: 'default' };
  });
  return { settings: parseAll(origins), origins };
}

function parseAll(origins: readonly SettingOrigin[]): Settings {
  const result = settingsSchema.safeParse(Object.fromEntries(origins.map(({ name, text }) => [name, text])));
  if (result.success) return Object.freeze(result.data);
  const lines = result.error.issues.map((issue) => {
    const origin = origins.find(({ name }) => name === issue.path[0]);
    return `${origin?.source ?? String(issue.path[0])}: ${issue.message}`;
  });
  throw new SettingsError(lines.join('\n'));
}

function onlyOurs(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(environment).flatMap(([name, value]): [string, string][] =>
    name.startsWith('BERTH_') && value !== undefined ? [[name, value]] : [],
  );
  return Object.fromEntries(entries);
}

function readYaml(path: string, readFile: (path: string) => string): Record<string, string> {
  let document: unknown;
  try {
    document = parseYaml(readFile(path)) ?? {};
  } catch (cause) {
    throw new SettingsError(`cannot read the settings file ${path}: ${cause instanceof Error ? cause.message : cause}`);
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new SettingsError(`the settings file ${path} is not a list of "name: value" lines`);
  }
  return Object.fromEntries(Object.entries(document).map(([name, value]) => [name, textOf(name, value)]));
}

function textOf(name: string, value: unknown): string {
  if (value === null) return '';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  if (Array.isArray(value)) return value.map((entry) => textOf(name, entry)).join(',');
  throw new SettingsError(`${name}: a text, a number, true, false or a list of these is needed`);
}

/** Values by setting; throws for a name that is none, with the nearest one that is. */
function known(
  values: Readonly<Record<string, string>>,
  spell: (name: SettingName) => string | undefined,
  mark: string,
): Map<SettingName, string> {
  return new Map(
    Object.entries(values).map(([spelling, value]) => {
      const name = settingNames.find((candidate) => spell(candidate) === spelling);
      if (name !== undefined) return [name, value];
      const nearest = nearestOf(
        spelling,
        settingNames.flatMap((candidate) => spell(candidate) ?? []),
      );
      throw new SettingsError(`unknown setting ${mark}${spelling}; did you mean ${mark}${nearest}?`);
    }),
  );
}

/** The candidate with the fewest letters to change, add or remove. */
export function nearestOf(text: string, candidates: readonly string[]): string {
  const distances = candidates.map((candidate) => ({ candidate, distance: editDistance(text, candidate) }));
  return distances.toSorted((a, b) => a.distance - b.distance)[0]?.candidate ?? '';
}

function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [line, letter] of [...from].entries()) {
    const next = [line + 1];
    for (const [column, other] of [...to].entries()) {
      const replaced = (row[column] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
