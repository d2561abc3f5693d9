import { Argument, type Command as CommanderCommand, CommanderError, Option, Command as Program } from 'commander';
import { ClientError } from '../client/client-error.ts';
import { type Command, type CommandContext, type ExitCode, exitCodes, type Given, NoServer } from './command.ts';

/** A setting as a flag: every command takes it. */
export type SettingFlag = { readonly flag: string; readonly unit: string; readonly meaning: string };

export type CliParts = {
  readonly version: string;
  readonly commands: readonly Command[];
  readonly settingFlags: readonly SettingFlag[];
  /** Made after the flags are known: they say where the server is. */
  readonly contextFor: (settingFlags: Readonly<Record<string, string>>) => CommandContext;
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
};

/** What says which server a command speaks to. */
const onlineSettings: readonly string[] = ['config', 'data', 'server'];

const nounPurposes = new Map([
  ['audit', 'who did what in the registries'],
  ['registry', 'registries of this installation'],
  ['agent-token', 'what agents of builds show the server'],
  ['credential', "a registry's admin user"],
  ['access', 'who may do what'],
  ['identity', 'managed identities of machines and workloads'],
  ['template', 'what new repositories of a registry begin with'],
  ['lifecycle', 'rules by which content of a registry leaves by itself'],
  ['key', 'keys that sign tokens'],
  ['task', 'what tasks make and stand on'],
  ['throttle', 'what throttling would do'],
  ['tag', 'where tags pointed, and moves of several at once'],
]);

/** Runs the command that `argv` names; answers the exit code. Throws nothing that has one. */
export async function runCli(argv: readonly string[], parts: CliParts): Promise<ExitCode> {
  let code: ExitCode = exitCodes.done;
  const program = new Program('berth')
    .description('A private container registry, compatible with Azure Container Registry.')
    .version(parts.version, '--version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => parts.print(text.trimEnd()),
      writeErr: (text) => parts.complain(text.trimEnd()),
    });
  for (const command of parts.commands) {
    addCommand(program, command, parts, async (context, given) => {
      code = await command.run(context, given);
    });
  }
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    return exitCodeOf(error, parts.complain);
  }
}

function addCommand(
  program: CommanderCommand,
  command: Command,
  parts: CliParts,
  run: (context: CommandContext, given: Given) => Promise<void>,
): void {
  const [noun, verb] = command.words;
  const parent = verb === undefined ? program : nounCommand(program, noun);
  const leaf = parent.command(verb ?? noun).description(command.purpose);
  for (const { name, meaning, choices } of command.operands ?? []) {
    const argument = new Argument(`<${name}>`, meaning);
    leaf.addArgument(choices === undefined ? argument : argument.choices(choices));
  }
  for (const { name, letter, meaning, value, repeats = false } of command.options ?? []) {
    const words = `${letter === undefined ? '' : `-${letter}, `}--${name}${value === undefined ? '' : ` <${value}>`}`;
    if (repeats) leaf.option(words, meaning, (given: string, before: readonly string[] = []) => [...before, given]);
    else leaf.option(words, meaning);
  }
  addSettings(leaf, command, parts.settingFlags);
  leaf.action(async () => {
    const given = givenOf(leaf, command);
    await run(parts.contextFor(settingsOf(leaf, parts.settingFlags)), given);
  });
}

/** A command takes every setting; its help shows those that matter to it. */
function addSettings(leaf: CommanderCommand, command: Command, flags: readonly SettingFlag[]): void {
  const shown = command.settings ?? onlineSettings;
  for (const { flag, unit, meaning } of flags) {
    // `--sparse-manifests` alone means on.
    const option = new Option(unit === 'on or off' ? `--${flag} [on|off]` : `--${flag} <value>`, meaning);
    leaf.addOption(option.hideHelp(shown !== 'all' && !shown.includes(flag)));
  }
  if (shown !== 'all') leaf.addHelpText('after', '\nEvery setting is an option too; berth settings lists them.');
}

function nounCommand(program: CommanderCommand, noun: string): CommanderCommand {
  const known = program.commands.find((command) => command.name() === noun);
  return known ?? program.command(noun).description(nounPurposes.get(noun) ?? noun);
}

function givenOf(leaf: CommanderCommand, command: Command): Given {
  const operands = new Map((command.operands ?? []).map(({ name }, index) => [name, leaf.args[index] ?? '']));
  const options = new Map(optionEntries(leaf));
  return {
    operand: (name) => operands.get(name) ?? '',
    option: (name) => {
      const value = options.get(name);
      return typeof value === 'string' ? value : undefined;
    },
    options: (name) => {
      const values = options.get(name);
      return Array.isArray(values) ? values.filter((value) => typeof value === 'string') : [];
    },
    isSet: (name) => options.has(name),
  };
}

function settingsOf(leaf: CommanderCommand, flags: readonly SettingFlag[]): Record<string, string> {
  const names = new Set(flags.map(({ flag }) => flag));
  const entries = optionEntries(leaf).filter(([name]) => names.has(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, typeof value === 'string' ? value : 'on']));
}

/** By flag name, as typed: commander itself keeps them under camel-case names. */
function optionEntries(leaf: CommanderCommand): [string, unknown][] {
  const values = leaf.opts<Record<string, unknown>>();
  return leaf.options.flatMap((option): [string, unknown][] => {
    const value = values[option.attributeName()];
    return value === undefined ? [] : [[option.name(), value]];
  });
}

function exitCodeOf(error: unknown, complain: (text: string) => void): ExitCode {
  // Commander has said what was wrong; its code 0 is help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  if (error instanceof ClientError) {
    complain(`berth: ${error.message}\n${error.remedy}`);
    return error.status === 404 ? exitCodes.notFound : exitCodes.failed;
  }
  if (error instanceof NoServer) {
    complain(`berth: ${error.message}`);
    return exitCodes.failed;
  }
  throw error;
}
