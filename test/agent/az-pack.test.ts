import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import type { Workbench } from '../end-to-end/workbench.ts';
import type { AzMachine } from '../support/az-machine.ts';
import { type BuildBench, openBuildBench } from '../support/build-bench.ts';
import { copyLifecycle } from '../support/buildpack-lifecycle.ts';

// `az acr pack build` with the real lifecycle, in a builder with one small buildpack that is made here.

let bench: Workbench;
let az: AzMachine;
let folderOf: BuildBench['folderOf'];

before(async () => {
  ({ bench, az, folderOf } = await openBuildBench({ release: 'newest', form: 'docker' }));
});
after(async () => {
  await bench[Symbol.asyncDispose]();
});

const builder = {
  Dockerfile: `FROM REGISTRY/debian:12
RUN groupadd -g 1000 cnb && useradd -u 1000 -g 1000 -m cnb
COPY cnb /cnb
RUN mkdir /cnb/lifecycle/real && ln -s ../lifecycle /cnb/lifecycle/real/creator
ENV CNB_USER_ID=1000 CNB_GROUP_ID=1000
USER cnb
LABEL io.buildpacks.builder.metadata='{"stack":{"runImage":{"image":"REGISTRY/debian:12"}}}'
`,
  // Tells what it was lent, as any builder could.
  'cnb/lifecycle/creator': `#!/bin/sh
if [ -n "$CNB_REGISTRY_AUTH" ]; then
  echo "$CNB_REGISTRY_AUTH" | grep -o Basic
  claims=$(echo "$CNB_REGISTRY_AUTH" | sed 's/.*Bearer [^.]*[.]//; s/[.].*//' | tr '_-' '/+')
  echo "LENT $(echo "$claims===" | base64 -d 2> /dev/null) "
fi
exec /cnb/lifecycle/real/creator "$@"
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
mkdir "$1/made"
cat note - > "$1/made/text" << END
made by the buildpack
END
printf '[types]\\nlaunch = true\\n' > "$1/made.toml"
printf '[[processes]]\\ntype = "web"\\ncommand = ["cat", "%s/made/text"]\\ndefault = true\\n' "$1" > "$1/launch.toml"
`,
};

const claimsSchema = z.looseObject({ access: z.array(z.unknown()) });
const lentIn = (output: string) => claimsSchema.parse(JSON.parse(/LENT (\{.*\})/.exec(output)?.[1] ?? '')).access;

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
  assert.deepEqual(lentIn(output), [
    { type: 'repository', name: 'debian', actions: ['pull'] },
    { type: 'repository', name: 'packed', actions: ['pull', 'push'] },
  ]);
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
  assert.match(await pack('debian:12'), /the builder \S+\/debian:12 has no lifecycle at \/cnb\/lifecycle\/creator/);
  assert.match(await pack('builder:v1'), /No buildpack groups passed detection/);
  assert.equal(await bench.manifest('never', 'v1'), undefined);
});
