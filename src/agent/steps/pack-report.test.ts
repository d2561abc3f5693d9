import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cpuMsOf } from '../../../test/support/cpu-time.ts';
import { packReportOf } from './pack-report.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const mebibyte = 1024 * 1024;
const digestIn = (report: string) => packReportOf({ report, analyzed: '' }).digest;
const runImageIn = (analyzed: string) => packReportOf({ report: '', analyzed }).runImage;

describe('what a lifecycle reports', () => {
  test('the digest of what it pushed', () => {
    assert.equal(digestIn(`[image]\n  tags = ["r.example/app:v1"]\n  digest = "${digest}"\n`), digest);
    assert.equal(digestIn('[image]\n  image-id = "0123"\n'), undefined);
  });
  test('the image that its own stands on', () => {
    const analyzed = `[image]\n  reference = ""\n[run-image]\n  reference = "r.example/run@${digest}"\n  image = "r.example/run:v1"\n[metadata]\n`;
    assert.deepEqual(runImageIn(analyzed), { image: 'r.example/run:v1', digest });
    assert.equal(runImageIn(`[image]\n  image = "r.example/run:v1"\n`), undefined);
  });
  for (const [name, text] of [
    ['line ends', '\n'.repeat(mebibyte)],
    ['blanks', ' '.repeat(mebibyte)],
    ['words without values', 'digest\n\nimage\n\nreference =\n'.repeat(mebibyte / 32)],
    ['open quotes', 'reference = "@@@@@@@@@@@@@@@@@@@@\n'.repeat(mebibyte / 32)],
  ] as const) {
    test(`many ${name} are looked through in time that grows with them alone`, () => {
      const tookMs = cpuMsOf(() => {
        assert.equal(digestIn(text), undefined);
        assert.equal(runImageIn(`[run-image]\n${text}`), undefined);
      });
      assert(tookMs < 1_000, `${tookMs} ms`);
    });
  }
});
