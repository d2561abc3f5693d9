import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { blobSeed, imageOf } from './content.ts';
import { count } from './length.ts';
import { Trial } from './trial.ts';

const rounds = count(4, 40);
const repositories = ['release/web', 'release/api', 'release/worker'];

for (const point of ['release.commit.before', 'release.commit.after', 'response.before', 'a random moment'] as const) {
  test(`a release that is killed at ${point} has moved every tag or none`, async () => {
    await using trial = new Trial();
    await trial.start();
    const versions: string[][] = [];
    for (let version = 0; version < 2; version += 1) {
      const digests: string[] = [];
      for (const repository of repositories) {
        const config = blobSeed(1_000);
        await trial.client.pushBlob(repository, config);
        const image = imageOf([config]);
        await trial.client.putManifest(repository, `v${version}`, image);
        digests.push(image.digest);
      }
      versions.push(digests);
    }
    const release = (version: number) =>
      JSON.stringify({
        moves: repositories.map((repository, index) => ({
          repository,
          tag: 'prod',
          digest: versions[version]?.[index],
        })),
      });
    const send = async (version: number) =>
      await trial.client.call('POST', '/acr/v1/_release', { body: Buffer.from(release(version)) });
    assert.equal((await send(0)).status, 200);
    let current = 0;
    for (let round = 0; round < rounds; round += 1) {
      await trial.server.kill();
      await trial.start(point === 'a random moment' ? {} : { env: { FAILPOINT: `${point}:abort` } });
      const next = 1 - current;
      const sent = send(next).catch(() => undefined);
      if (point === 'a random moment') {
        await sleep(Math.random() * 12);
        await trial.server.kill();
      }
      const answer = await sent;
      await trial.server.kill();
      await trial.start();
      const at: string[] = [];
      for (const repository of repositories) {
        const { headers } = await trial.client.manifest(repository, 'prod');
        at.push(String(headers['docker-content-digest']));
      }
      const found = versions.findIndex((digests) => digests.every((digest, index) => digest === at[index]));
      assert.notEqual(found, -1, `some tags moved and some did not: ${at.join(' ')}`);
      if (point === 'release.commit.before') assert.equal(found, current, 'nothing was written yet');
      if (point === 'release.commit.after' || answer?.status === 200) assert.equal(found, next, 'it was durable');
      current = found;
    }
  });
}
