import { join } from 'node:path';
import { startBerth } from '../support/berth-server.ts';
import { goToolVersion } from '../support/go-tools.ts';
import { isComplete, runOfficialProgram, verdicts } from './official-program.ts';

const results = join(import.meta.dirname, '../../results/conformance');

await using server = await startBerth({ settings: { 'sparse-manifests': 'on' } });
console.log(`OCI distribution-spec conformance ${goToolVersion('conformance')}, version dev, sparse on`);
const result = await runOfficialProgram(server, results);
console.log(`\n${verdicts(result)}\n${result.summary}\n\nReport: ${join(results, 'report.html')}`);
process.exitCode = isComplete(result) ? 0 : 1;
