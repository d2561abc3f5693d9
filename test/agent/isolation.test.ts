import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { z } from 'zod';
import { refuseStrangers } from '../../src/agent/executors/refuse-strangers.ts';
import { withRunc } from '../support/other-runc.ts';
import { run, tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// What an agent says of machines whose runc is not there or starts nothing. One that builds on such a machine is in own-agent.test.ts.

const berth = join(import.meta.dirname, '../../bin/berth');
const folder = temporaryFolder('isolation');
after(() => folder.remove());

const broken = join(folder.path, 'runc');
writeFileSync(
  broken,
  '#!/bin/sh\n[ "$1" != --version ] || { echo runc version 9.9.9; exit 0; }\necho out of order >&2\nexit 1\n',
  {
    mode: 0o755,
  },
);

async function say(runc: string, ...words: readonly string[]) {
  const { command, args } = withRunc(runc, berth, words);
  const { code, output } = await tryRun(command, args, { env: { BERTH_DATA: join(folder.path, 'data') } });
  return { code, output };
}

const fallback = (why: string) =>
  new RegExp(
    `^warning: containers are kept apart by chroot alone \\(${why}\\), so a step can take the credentials of its run: .+`,
    'm',
  );

const cases = [
  {
    sentence: 'without runc containers are kept apart by chroot, and the agent warns of it',
    ...{ runc: '/dev/null', wish: 'auto', code: 0, isChroot: true, says: fallback('runc is missing') },
  },
  {
    sentence: 'where runc starts no container they are kept apart by chroot, and the agent says what runc said',
    ...{ runc: broken, wish: 'auto', code: 0, isChroot: true },
    says: /^warning: .*\(runc starts no containers here\).*: it says ".*out of order.*"; script\/build-tools makes a newer one$/m,
  },
  {
    sentence: 'an agent that is to have oci is none without runc, and says what brings it',
    ...{ runc: '/dev/null', wish: 'oci', code: 1, isChroot: false },
    says: /^missing: runc is missing: apt install runc, or do without by --build-isolation auto$/m,
  },
  {
    sentence: 'an agent that is to have oci is none where runc starts no container',
    ...{ runc: broken, wish: 'oci', code: 1, isChroot: false },
    says: /^missing: runc starts no containers here: it says ".*out of order/m,
  },
] as const;

for (const { sentence, runc, wish, code, isChroot, says } of cases)
  test(sentence, async () => {
    const said = await say(runc, 'agent', '--check', '--build-isolation', wish);
    assert.match(said.output, says);
    assert.equal(said.code, code);
    assert.equal(/^executor: buildah \S+, chroot$/m.test(said.output), isChroot, said.output);
  });

test('pull requests from forks are refused where containers are kept apart by chroot alone', async () => {
  const checkHost = join(import.meta.dirname, '../../src/agent/executors/check-host.ts');
  const place = `{ folder: ${JSON.stringify(folder.path)}, uid: () => 'facts' }`;
  const program = `import { checkHost } from ${JSON.stringify(checkHost)}; console.log(JSON.stringify(await checkHost('auto', ${place})))`;
  const { command, args } = withRunc('/dev/null', process.execPath, ['--input-type=module', '--eval', program]);
  const facts = z.object({ unpatched: z.array(z.string()) }).parse(JSON.parse((await run(command, args)).stdout));
  const unpatched = facts.unpatched.filter((each) => !each.startsWith('buildah '));
  const stranger = { variables: { TriggeredBy: 'Pull Request' }, credentials: [] };
  assert.throws(
    () => refuseStrangers(stranger, { unpatched, hasBuildKit: false }, false),
    /by chroot alone \(runc is missing\)/,
  );
});

test('doctor warns where containers are kept apart by chroot alone', async () => {
  const { output } = await say('/dev/null', 'doctor');
  assert.match(output, /^ok +builds can be done here: buildah \S+, chroot, /m);
  assert.match(output, /^note +builds: containers are kept apart by chroot alone \(runc is missing\)/m);
});
