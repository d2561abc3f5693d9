import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { copyFileSync, cpSync, existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Workbench } from '../end-to-end/workbench.ts';
import type { AzMachine } from '../support/az-machine.ts';
import { openBuildBench } from '../support/build-bench.ts';
import { run, tryRun } from '../support/run.ts';

// A Node application whose dependencies come from the registry of packages that this machine uses, where it has one.

const dependency = { name: 'is-number', version: '7.0.0' };
const setting = async (name: string) => (await tryRun('npm', ['config', 'get', name])).stdout.trim();
const origin = await setting('registry');
const configured = await setting('cafile');
const authorities = existsSync(configured) ? configured : (process.env.NODE_EXTRA_CA_CERTS ?? '');
const npm = dirname(dirname(realpathSync((await tryRun('sh', ['-c', 'command -v npm'])).stdout.trim() || '/')));
const reached = await tryRun('npm', ['view', `${dependency.name}@${dependency.version}`, 'version']);
const skip = !reached.stdout.includes(dependency.version)
  ? 'npm reaches no registry of packages from here'
  : existsSync(join(npm, 'node_modules'))
    ? false
    : 'what npm needs is not in one folder here, as in the image';

let bench: Workbench;
let az: AzMachine;

before(async () => {
  if (skip !== false) return;
  const found = await lookup(new URL(origin).hostname, { all: true });
  const allowed = found.map(({ address }) => `${address}/${isIPv6(address) ? 128 : 32}`).join(',');
  ({ bench, az } = await openBuildBench({ settings: { 'outbound-allow': allowed } }));
});
after(async () => {
  if (skip === false) await bench[Symbol.asyncDispose]();
});

test('npm install in a build, and the image runs', { skip }, async () => {
  const folder = join(bench.folder, 'node-app');
  mkdirSync(folder);
  const files = {
    Dockerfile: `FROM ${bench.named.host}/debian:12
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/npm
COPY libraries /usr/local/lib
RUN ldconfig
COPY authorities.crt /authorities.crt
ENV NODE_EXTRA_CA_CERTS=/authorities.crt
WORKDIR /app
COPY package.json .
ARG ORIGIN
RUN node /usr/local/lib/npm/bin/npm-cli.js install --registry "$ORIGIN" --no-audit --no-fund
COPY app.js .
CMD ["node", "/app/app.js"]
`,
    'package.json': JSON.stringify({
      name: 'app',
      version: '1.0.0',
      dependencies: { [dependency.name]: dependency.version },
    }),
    'app.js': `console.log('42 is a number:', require('${dependency.name}')('42'));\n`,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  copyFileSync(process.execPath, join(folder, 'node'));
  mkdirSync(join(folder, 'libraries'));
  // The one that Node needs and the smallest Debian does not have.
  const [, atomic = ''] = /libatomic\S+ => (\S+)/.exec((await run('ldd', [process.execPath])).stdout) ?? [];
  if (atomic !== '') copyFileSync(atomic, join(folder, 'libraries', basename(atomic)));
  cpSync(npm, join(folder, 'npm'), { recursive: true, verbatimSymlinks: true });
  if (authorities === '') writeFileSync(join(folder, 'authorities.crt'), '');
  else copyFileSync(authorities, join(folder, 'authorities.crt'));
  const output = await az.type(`az acr build -r local -t node-app:v1 --build-arg ORIGIN=${origin} ${folder}`);
  assert.match(output, /added 1 package/);
  const started = await az.type("az acr run -r local --cmd '$Registry/node-app:v1' /dev/null");
  assert.match(started, /42 is a number: true/);
});
