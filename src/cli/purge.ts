import type { PurgeLine } from '../wire/admin/purge-schema.ts';
import { type Command, type CommandContext, type ExitCode, exitCodes } from './command.ts';
import { purgeAsked, purgeOptions } from './purge-request.ts';

/** As `acr purge` of the ACR command line: same options, same lines. Source: ACR Tasks reference, "acr purge". */
export const purgeCommands: readonly Command[] = [
  {
    words: ['purge'],
    purpose: 'delete old tags and untagged manifests of a registry',
    options: purgeOptions,
    run: async (context, given) => {
      const asked = purgeAsked(given);
      if ('problem' in asked) {
        context.complain(asked.problem);
        return exitCodes.usage;
      }
      for (const note of asked.notes) context.print(note);
      const client = await context.connect();
      const name = given.option('registry') ?? 'local';
      const { loginServer } = await client.registryShow(name);
      if (given.isSet('dry-run')) context.print(dryRunHeader);
      let code: ExitCode = exitCodes.done;
      const say = linesOf(context, loginServer, given.isSet('dry-run'));
      for await (const line of client.purge(name, asked.options)) {
        if ('error' in line) code = exitCodes.failed;
        say(line);
      }
      return code;
    },
  },
];

const dryRunHeader =
  'DRY RUN: The following output shows what WOULD be deleted if the purge command was executed. Nothing is deleted.';

/** Prints a header where another repository, or its manifests after its tags, begin. */
function linesOf({ print, complain }: CommandContext, host: string, isDryRun: boolean): (line: PurgeLine) => void {
  let header = '';
  return (line) => {
    if ('error' in line) return complain(`Failed to complete purge: ${line.error}`);
    if (!('outcome' in line)) {
      const were = isDryRun ? 'to be deleted' : '';
      const label = (what: string) => (isDryRun ? `Number of ${what} ${were}` : `Number of deleted ${what}`);
      const freed = `${isDryRun ? 'Bytes to be freed' : 'Freed bytes'}: ${line.freedBytes}`;
      return print(`\n${label('tags')}: ${line.tags}\n${label('manifests')}: ${line.manifests}\n${freed}`);
    }
    const { repository } = line;
    const begins = (what: string) => `${isDryRun ? 'Would delete' : 'Deleting'} ${what} for repository: ${repository}`;
    // Tags of cosign leave with their manifests, and stand among those.
    const isAmongManifests = line.tag === null || header === begins('manifests');
    const wanted = begins(isAmongManifests ? 'manifests' : 'tags');
    if (wanted !== header) print(wanted);
    header = wanted;
    print(itemText(line, `${host}/${line.repository}${line.tag === null ? `@${line.digest}` : `:${line.tag}`}`));
  };
}

type Item = Extract<PurgeLine, { outcome: string }>;

function itemText({ outcome, reason, why, freedBytes }: Item, name: string): string {
  const bytes = freedBytes > 0 ? `, ${freedBytes} bytes` : '';
  switch (outcome) {
    case 'deleted':
      return `Deleted ${name} (${reason}${bytes})`;
    case 'wouldDelete':
      return `Would delete: ${name} (${reason}${bytes})`;
    case 'changed':
      return `Skipped ${name}, it was changed or deleted meanwhile`;
    case 'skipped':
    case 'kept':
      return `Skipped ${name}, ${why ?? 'it has to stay'}`;
  }
}
