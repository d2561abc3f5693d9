import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { type DockerfileInput, imagesOfDockerfile } from './dockerfile-images.ts';
import { TaskError } from './task-error.ts';

const images = (text: string, more: Partial<DockerfileInput> = {}) =>
  imagesOfDockerfile({
    text,
    arguments: new Map(),
    target: undefined,
    platform: { os: 'linux', architecture: 'amd64' },
    ...more,
  });

const open = ['$', '{'].join('');
const good: readonly [string, string, string | undefined, readonly string[], Partial<DockerfileInput>?][] = [
  ['one image', 'FROM debian:12\nRUN x', 'debian:12', []],
  ['a platform and a name', 'FROM --platform=linux/amd64 debian AS base\nFROM base', 'debian', []],
  ['a default', 'ARG V=12\nFROM debian:$V', 'debian:12', []],
  ['an argument beats the default', 'ARG V=12\nFROM debian:$V', 'debian:13', [], { arguments: new Map([['V', '13']]) }],
  ['the form with a default', `FROM debian:${open}V:-11}`, 'debian:11', []],
  ['two stages', 'FROM golang AS build\nFROM alpine\nCOPY --from=build /a /a', 'alpine', ['golang']],
  ['a base that is both', 'FROM a AS x\nFROM a', 'a', []],
  ['a copied image', 'FROM a\nCOPY --from=b:1 /x /x', 'a', ['b:1']],
  ['a copied stage by number', 'FROM a\nFROM b\nCOPY --from=0 /x /x', 'b', ['a']],
  ['a mounted image', 'FROM a\nRUN --mount=type=bind,from=tool:2,target=/t x', 'a', ['tool:2']],
  ['scratch', 'FROM golang AS b\nFROM scratch\nCOPY --from=b / /', undefined, ['golang']],
  ['a target, whatever its case', 'FROM a AS One\nFROM b AS two\nFROM c', 'a', [], { target: 'one' }],
  ['continued lines', 'FROM \\\n# remark\n\n  debian \\\n  AS x', 'debian', []],
  ['a heredoc with a FROM', 'FROM a\nRUN <<EOF\nFROM evil\nEOF\nRUN <<-"B"\n\tFROM c\n\tB', 'a', []],
  ['another joiner', '# escape=`\nFROM `\n  a', 'a', []],
  ['a registry with a port', 'FROM localhost:5000/x', 'localhost:5000/x', []],
  ['a byte order mark', '\uFEFFFROM a', 'a', []],
  ['the platform in a name', 'FROM a-$TARGETARCH', 'a-amd64', []],
  ['quotes', 'FROM "a:1"', 'a:1', []],
];

const many = (count: number, line: (at: number) => string) =>
  Array.from({ length: count }, (_, at) => line(at)).join('\n');
const doubled = `ARG A0=xxxxxxxxxxxxxxxx\n${many(40, (at) => `ARG A${at + 1}=$A${at}$A${at}`)}\nFROM $A40`;

const bad: readonly [string, string, Partial<DockerfileInput>?][] = [
  ['nothing', ''],
  ['no FROM', 'RUN x'],
  ['words too many', 'FROM a b c'],
  ['an unknown variable alone', 'FROM $X'],
  ['an unknown target', 'FROM a', { target: 'x' }],
  ['an open heredoc', 'FROM a\nRUN <<EOF\nx'],
  ['no instruction', 'FROM a\n!!'],
  ['a variable that doubles without end', doubled],
  [
    'a variable that is filled in without end',
    `ARG A=${'x'.repeat(1_000)}\n${many(5_000, (at) => `ARG B${at}=$A`)}\nFROM a`,
  ],
  ['images without end', `FROM a\n${many(5_000, (at) => `COPY --from=image${at} / /`)}`],
  ['stages without end', many(150_000, () => 'FROM a')],
];

describe('images that a Dockerfile uses', () => {
  for (const [label, text, runtime, buildtime, more] of good) {
    test(label, () => assert.deepEqual(images(text, more), { runtime, buildtime }));
  }
  for (const [label, text, more] of bad) {
    test(`${label} is refused`, () => assert.throws(() => images(text, more), TaskError));
  }
  test('a long one is looked through in time that grows with its length alone', () => {
    const stages = many(900, (at) => `FROM a AS stage${at}`);
    const tookMs = cpuMsOf(() => {
      images(`${stages}\nFROM a\nRUN --mount=${'from=stage0,'.repeat(80_000)} x`);
      images(`ARG A=${`${open}A:-`.repeat(200_000)}\nFROM a`);
    });
    assert(tookMs < 1_000, `${tookMs} ms`);
  });
});
