import { type Command, exitCodes } from './command.ts';

const maxSlots = 64;

/** The program that does runs, on this machine or any other that reaches the server. */
export const agentCommands: readonly Command[] = [
  {
    words: ['agent'],
    purpose: 'take builds and tasks of a pool and do them here; its token is in BERTH_AGENT_TOKEN',
    settings: [
      ...['config', 'data', 'server', 'outbound-allow', 'outbound-host', 'log-format', 'log-level'],
      ...['build-isolation', 'buildkit', 'buildkit-tls', 'buildctl', 'buildkit-provenance', 'buildkit-sbom'],
    ],
    options: [
      { name: 'pool', meaning: 'name of the pool, for the log; which one it is, the token says', value: 'NAME' },
      { name: 'slots', meaning: 'runs at the same time (default: 2)', value: 'COUNT' },
      { name: 'check', meaning: 'say what this machine can do, and end' },
    ],
    run: async (context, given) => {
      const slots = Number(given.option('slots') ?? '2');
      if (!Number.isInteger(slots) || slots < 1 || slots > maxSlots) {
        context.complain(`--slots needs a number from 1 to ${maxSlots}`);
        return exitCodes.usage;
      }
      return await context.agent({ pool: given.option('pool') ?? 'default', slots, isCheck: given.isSet('check') });
    },
  },
];
