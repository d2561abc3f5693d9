import { type Command, exitCodes, jsonOption } from './command.ts';
import { table } from './table.ts';

export const serverCommands: readonly Command[] = [
  {
    words: ['serve'],
    purpose: 'run the registry until SIGTERM or SIGINT',
    settings: 'all',
    run: (context) => context.serve(),
  },
  {
    words: ['settings'],
    purpose: 'print every setting with its value, where it comes from, its unit and meaning',
    options: [jsonOption],
    settings: ['config'],
    run: async (context, given) => {
      const lines = context.settings();
      if (given.isSet('json')) context.print(JSON.stringify(lines, null, 2));
      else {
        const rows = lines.map((line) => [line.name, line.value, line.source, line.unit, line.meaning]);
        context.print(table(['NAME', 'VALUE', 'SOURCE', 'UNIT', 'MEANING'], rows));
      }
      return exitCodes.done;
    },
  },
  {
    words: ['version'],
    purpose: 'print the version',
    settings: [],
    run: async (context) => {
      context.print(context.version);
      return exitCodes.done;
    },
  },
];
