import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCatalogue } from '../src/core/errors.ts';
import { aboutSetting, flagOf, settingNames, variableOf } from '../src/settings.ts';

// Writes the reference pages that are made from the program itself; with --check, fails when one is not what it would write.

const folder = join(import.meta.dirname, '../docs/reference');
const pages = { 'settings.md': settingsPage(), 'errors.md': errorsPage() };
const isCheck = process.argv.includes('--check');

for (const [name, text] of Object.entries(pages)) {
  const file = join(folder, name);
  if (!isCheck) writeFileSync(file, text);
  else if (readFileSync(file, 'utf8') !== text) {
    console.error(`docs/reference/${name} is out of date: run node script/generate-reference.ts`);
    process.exitCode = 1;
  }
}

function settingsPage(): string {
  const rows = settingNames.map((name) => {
    const { unit, default: standard, meaning, isSecret, isFlagless } = aboutSetting(name);
    const flag = isFlagless ? 'none' : `\`--${flagOf(name)}\``;
    const secret = isSecret ? ' Never printed.' : '';
    return [flag, `\`${variableOf(name)}\``, unit, standard === '' ? '' : `\`${standard}\``, meaning + secret];
  });
  return page(
    'Settings',
    'A flag goes before an environment variable, and that before the settings file (`--config`), a YAML file whose keys are the\n' +
      'names of the flags without dashes in front. An unknown setting is an error. `berth settings` prints what is in effect\n' +
      'and where it comes from. Durations: `90s`, `24h`, `1h30m`. Sizes: `64KiB`, `200GiB`. Lists: parted by commas; in YAML also\n' +
      'as lists. `on or off`: a flag alone means on; in YAML also `true` and `false`.',
    table(['Flag', 'Variable', 'Unit', 'Default', 'Meaning'], rows),
  );
}

function errorsPage(): string {
  const rows = Object.entries(errorCatalogue)
    .map(([name, { code, status, message, remedy }]) => [String(status), `\`${code}\``, message, remedy, `\`${name}\``])
    .toSorted(([a = '', b = ''], [c = '', d = '']) => `${a}${b}`.localeCompare(`${c}${d}`));
  return page(
    'Errors',
    'The registry API answers `{"errors":[{"code","message","detail"}]}`, the admin API\n' +
      '`{"error":{"code","message","remedy","detail"}}`. Every answer carries `x-ms-correlation-request-id`, which stands in the\n' +
      'log line of the request too. `Retry-After` tells in seconds when a 429 or 503 is worth another try.',
    table(['Status', 'Code', 'Message', 'What to do', 'Name in the source'], rows),
  );
}

function page(title: string, introduction: string, body: string): string {
  return `<!-- Made by script/generate-reference.ts. -->\n# ${title}\n\n${introduction}\n\n${body}\n`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.map((cell) => cell.replaceAll(/[|<]/g, '\\$&')).join(' | ')} |`).join('\n');
}
