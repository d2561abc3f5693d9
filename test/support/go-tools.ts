import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { buildpackLifecycle } from './buildpack-lifecycle.ts';
import { cacheFolder } from './cache-folder.ts';
import { onceInCache } from './once-in-cache.ts';
import { RunError, run, tryRun } from './run.ts';

const toolSchema = z.strictObject({ module: z.string(), version: z.string(), package: z.string() });
type Tool = z.infer<typeof toolSchema>;

const tools = z
  .record(z.string(), toolSchema)
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, 'go-tools.json'), 'utf8')));

/** The names in go-tools.json: clients and peers written in Go that Debian does not package; what a run of all tests needs first comes first. */
export const goToolNames: readonly string[] = Object.keys(tools);

/** The version that go-tools.json pins. Throws on a name that is not there. */
export function goToolVersion(name: string): string {
  return toolNamed(name).version;
}

/**
 * The path of a Go program at its pinned version, built into the cache folder the first time (up to some minutes). Needs `go` on the PATH.
 *
 * Built from a module of its own that requires exactly the pinned version, because `go install package@version` first asks
 * the module proxy whether the package's folder is a module, which not every proxy answers for every name.
 */
export async function goTool(name: string): Promise<string> {
  const tool = toolNamed(name);
  return await onceInCache(join(cacheFolder('go-tools'), `${name}-${tool.version}`), (work) => build(tool, work));
}

function toolNamed(name: string): Tool {
  const tool = tools[name];
  if (tool === undefined) throw new Error(`${name} is not in go-tools.json, which knows ${goToolNames.join(', ')}`);
  return tool;
}

/** The module proxy answers that it has no such module or version: no fault of this machine, and no retry helps. */
export class ModuleUnavailable extends Error {}

async function build(tool: Tool, work: string): Promise<string> {
  const options = { cwd: work, env: { CGO_ENABLED: '0', GOFLAGS: '-mod=mod' }, timeoutMs: 900_000 };
  await run('go', ['mod', 'init', 'build'], options);
  await run('go', ['mod', 'edit', '-require', `${tool.module}@${tool.version}`], options);
  const built = await tryRun('go', ['build', '-trimpath', '-ldflags=-s -w', '-o', 'tool', tool.package], options);
  if (built.code === 0) return join(work, 'tool');
  if (isUnavailable(built.output, tool)) {
    throw new ModuleUnavailable(`the Go module proxy does not have ${tool.module}@${tool.version}`);
  }
  throw new RunError(built);
}

function isUnavailable(output: string, tool: Tool): boolean {
  return output.includes(`${tool.module}@${tool.version}: reading http`) && /: (403|404|410) /.test(output);
}

if (import.meta.main) {
  for (const name of process.argv.length > 2 ? process.argv.slice(2) : goToolNames) {
    try {
      console.log(`${name} ${goToolVersion(name)} ${await goTool(name)}`);
    } catch (error) {
      // The test that needs it says so; the others have theirs all the same.
      console.error(error);
      process.exitCode = 1;
    }
  }
  if (process.argv.length === 2) await buildpackLifecycle();
}
