import { join } from 'node:path';
import { startBerth } from '../support/berth-server.ts';
import { goToolVersion } from '../support/go-tools.ts';
import { type ConformanceResult, isComplete, runOfficialProgram, verdicts } from './official-program.ts';
import { openSignedInAddress } from './signed-in-address.ts';

const results = join(import.meta.dirname, '../../results/conformance');

await using server = await startBerth({ settings: { 'sparse-manifests': 'on' } });
console.log(`OCI distribution-spec conformance ${goToolVersion('conformance')}, version dev, sparse on`);
const address = await openSignedInAddress(server);
const withRights = await runOfficialProgram(server, join(results, 'whole-registry'), address);
address.close();
report('A caller with the rights of the whole registry', withRights);
report('A caller with tokens of one repository each', await runOfficialProgram(server, join(results, 'tokens')));
console.log(`\nReports: ${results}/*/report.html`);
process.exitCode = isComplete(withRights) ? 0 : 1;

function report(title: string, result: ConformanceResult): void {
  console.log(`\n${title}: ${verdicts(result)}\n${result.summary}`);
}
