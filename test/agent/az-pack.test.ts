import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import type { Workbench } from '../end-to-end/workbench.ts';
import { count, isLong } from '../faults/length.ts';
import type { AzMachine } from '../support/az-machine.ts';
import { type BuildBench, openBuildBench } from '../support/build-bench.ts';
import { copyLifecycle } from '../support/buildpack-lifecycle.ts';

// `az acr pack build` with the real lifecycle, in a builder with one small buildpack that is made here.

let bench: Workbench;
let az: AzMachine;
let folderOf: BuildBench['folderOf'];

before(async () => {
  // In long runs the buildpack takes longer than a token is good for.
  const settings = isLong ? { 'token-lifetime': '20s' } : {};
  ({ bench, az, folderOf } = await openBuildBench({ settings, release: 'newest', form: 'docker' }));
});
after(async () => {
  await bench[Symbol.asyncDispose]();
});

const builder = {
  Dockerfile: `FROM REGISTRY/debian:12
RUN groupadd -g 1000 cnb && useradd -u 1000 -g 1000 -m cnb
COPY cnb /cnb
RUN cd /cnb/lifecycle && mkdir real && for each in analyzer detector restorer builder exporter; do \\
  cp /cnb/tells $each && ln -s ../lifecycle real/$each; done
ENV CNB_USER_ID=1000 CNB_GROUP_ID=1000
USER cnb
LABEL io.buildpacks.builder.metadata='{"stack":{"runImage":{"image":"REGISTRY/debian:12"}}}'
`,
  // Tells what it was lent, as any builder could.
  'cnb/tells': `#!/bin/sh
phase=\${0##*/}
[ "$1" = -version ] || echo "PHASE $phase of user $(id -u) at $HOME, $(ls -d /berth/auth 2> /dev/null || echo without) credentials"
if [ -n "$CNB_REGISTRY_AUTH" ]; then
  echo "$CNB_REGISTRY_AUTH" | grep -o Basic
  claims=$(echo "$CNB_REGISTRY_AUTH" | sed 's/.*Bearer [^.]*[.]//; s/[.].*//' | tr '_-' '/+')
  echo "LENT $phase $(echo "$claims===" | base64 -d 2> /dev/null) "
fi
exec /cnb/lifecycle/real/$phase "$@"
`,
  'cnb/order.toml': '[[order]]\n[[order.group]]\nid = "sample/note"\nversion = "1.0.0"\n',
  'cnb/run.toml': '[[images]]\nimage = "REGISTRY/debian:12"\n',
  'cnb/buildpacks/sample_note/1.0.0/buildpack.toml':
    'api = "0.10"\n[buildpack]\nid = "sample/note"\nversion = "1.0.0"\n[[targets]]\nos = "linux"\n',
  'cnb/buildpacks/sample_note/1.0.0/bin/detect': '#!/bin/sh\ntest -e note\n',
  'cnb/buildpacks/sample_note/1.0.0/bin/build': `#!/bin/sh
echo "the buildpack is user $(id -u), with the registry $REGISTRY_NAME"
env | grep -c CNB_REGISTRY_AUTH
cat /berth/auth/* /proc/1/environ 2>&1 | tr -d '\\0' | grep -ao 'Basic.*' && echo "HAS CREDENTIALS"
sleep ${count(0, 100)}
mkdir "$1/made"
cat note - > "$1/made/text" << END
made by the buildpack
END
printf '[types]\\nlaunch = true\\n' > "$1/made.toml"
printf '[[processes]]\\ntype = "web"\\ncommand = ["cat", "%s/made/text"]\\ndefault = true\\n' "$1" > "$1/launch.toml"
`,
};

const claimsSchema = z.looseObject({ access: z.array(z.unknown()), jti: z.string() });
const lentIn = (output: string, phase: string) =>
  claimsSchema.parse(JSON.parse(new RegExp(`LENT ${phase} (\\{.*\\})`).exec(output)?.[1] ?? ''));

test('an application becomes an image by the buildpacks of a builder in the registry', async () => {
  const folder = folderOf('builder', builder);
  await copyLifecycle(join(folder, 'cnb/lifecycle'));
  await az.type(`az acr build -r local -t builder:v1 ${folder}`);
  const app = folderOf('app', { note: 'from the folder\n' });
  const output = await az.type(
    `az acr pack build -r local -t packed:v1 --pull --builder ${bench.named.host}/builder:v1 ${app}`,
  );
  assert.match(output, new RegExp(`the buildpack is user 1000, with the registry ${bench.named.host}`));
  assert.doesNotMatch(output, /HAS CREDENTIALS/);
  assert.doesNotMatch(output, /Basic/);
  const phases = [...output.matchAll(/PHASE (\w+) of user (\d+) at (\S+), (\S+) credentials/g)];
  assert.deepEqual(
    phases.map(([_line, ...told]) => told.join(' ')),
    [
      'analyzer 0 /root /berth/auth',
      'detector 1000 /home/cnb without',
      'restorer 0 /root /berth/auth',
      'builder 1000 /home/cnb without',
      'exporter 0 /root /berth/auth',
    ],
  );
  const lent = ['analyzer', 'restorer', 'exporter'].map((phase) => lentIn(output, phase));
  for (const { access } of lent)
    assert.deepEqual(access, [
      { type: 'repository', name: 'debian', actions: ['pull'] },
      { type: 'repository', name: 'packed', actions: ['pull', 'push'] },
    ]);
  assert.equal(new Set(lent.map(({ jti }) => jti)).size, 3);
  assert.match(output, /Successfully pushed image: \S+\/packed:v1/);
  assert.match(output, /runtime-dependency:\s+registry: \S+\s+repository: debian\s+tag: 12\s+digest: sha256:/);
  assert.match(output, /buildtime-dependency:\s+- registry: \S+\s+repository: builder\s+tag: v1\s+digest: sha256:/);
  assert.match(output, /was successful/);
  const started = await az.type("az acr run -r local --cmd '$Registry/packed:v1' /dev/null");
  assert.match(started, /from the folder\s+made by the buildpack/);
});

test('what is no builder, and files that no buildpack knows, say so', async () => {
  const app = folderOf('other', { readme: 'nothing to note' });
  const pack = (name: string) =>
    az.refused(`az acr pack build -r local -t never:v1 --pull --builder ${bench.named.host}/${name} ${app}`);
  assert.match(await pack('debian:12'), /the builder \S+\/debian:12 has no lifecycle at \/cnb\/lifecycle:/);
  assert.match(await pack('builder:v1'), /No buildpack groups passed detection/);
  assert.equal(await bench.manifest('never', 'v1'), undefined);
});

test('a lifecycle whose phases are one program, and one that wants more than phases', async () => {
  const speaks = `[ ! -e /workspace/old ] || [ "$CNB_PLATFORM_API" = 0.6 ] || exit 1`;
  const folder = folderOf('stand-in', {
    Dockerfile: 'FROM REGISTRY/debian:12\nCOPY cnb /cnb\nENV CNB_USER_ID=1000 CNB_GROUP_ID=1000\n',
    'cnb/lifecycle/analyzer': `#!/bin/sh\n${speaks}\n`,
    'cnb/lifecycle/creator': `#!/bin/sh\n${speaks}\n[ "$1" = -version ] || { echo "ALL OF $*"; exit 9; }\n`,
    'cnb/lifecycle/detector': `#!/bin/sh\nprintf '[[group]]\\n[[group-extensions]]\\n' > /layers/group.toml\n`,
  });
  await az.type(`az acr build -r local -t stand-in:v1 ${folder}`);
  const pack = async (name: string) => {
    const app = folderOf(`app-${name}`, { [name]: '' });
    const words = `--pull --builder ${bench.named.host}/stand-in:v1`;
    return await az.refused(`az acr pack build -r local -t never:v1 ${words} ${app}`);
  };
  const old = await pack('old');
  assert.match(old, /===> CREATING\s+ALL OF -app=\/workspace -layers=\/layers .*\/never:v1/);
  assert.doesNotMatch(old, /DETECTING/);
  assert.match(await pack('new'), /the builder \S+\/stand-in:v1 extends its images by Dockerfiles/);
});
