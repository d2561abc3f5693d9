import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { missedFixes, releaseIn } from './known-escapes.ts';

const debianRunc = 'runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\ngo: go1.19.8\n';

describe('which fixes of known escapes a program lacks', () => {
  for (const [program, text, missed] of [
    ['runc', 'runc version 1.4.3', []],
    ['runc', 'runc version 1.5.2', []],
    ['runc', 'runc version 1.4.0', ['CVE-2026-41579']],
    ['runc', 'runc version 1.2.8', ['CVE-2026-41579']],
    ['runc', 'runc version 1.3.2', ['CVE-2025-31133', 'CVE-2025-52565', 'CVE-2025-52881', 'CVE-2026-41579']],
    ['runc', debianRunc, ['CVE-2024-45310', 'CVE-2025-31133', 'CVE-2025-52565', 'CVE-2025-52881', 'CVE-2026-41579']],
    ['buildah', 'buildah version 1.43.1 (image-spec 1.1.1, runtime-spec 1.2.1)', []],
    ['buildah', 'buildah version 1.33.7', ['CVE-2024-9407', 'CVE-2024-9675', 'CVE-2024-11218', 'CVE-2025-52881']],
    ['buildah', 'buildah version 1.36.9', ['CVE-2024-9407', 'CVE-2024-9675', 'CVE-2024-11218', 'CVE-2025-52881']],
    ['buildah', 'buildah version 2.0.0', []],
    ['buildkit', 'BuildKit: github.com/moby/buildkit v0.33.1 0123456', []],
    ['buildkit', 'BuildKit: github.com/moby/buildkit v0.31.1', ['GHSA-hw3h-2gp9-cxpv']],
    ['buildkit', '0.13.0', ['CVE-2026-33747', 'CVE-2026-33748', 'GHSA-7236-3392-c5c6', 'GHSA-hw3h-2gp9-cxpv']],
  ] as const)
    test(`${program}: ${text.split('\n')[0]}`, () => assert.deepEqual(missedFixes(program, text), missed));

  test('one that does not say which it is lacks all of them', () => {
    assert.equal(missedFixes('runc', 'runc version unknown').length, 6);
    assert.equal(releaseIn('nothing'), undefined);
  });
});
