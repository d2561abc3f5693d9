import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTaskFile } from '../../wire/tasks/task-file.ts';
import { serviceNames } from './service-names.ts';

test('what serves other steps is known by its name before it begins', () => {
  const { steps } = parseTaskFile(`
steps:
  - id: dev
    cmd: bash -c 'curl http://db http://cache https://pkg.go.dev'
    when: ["-"]
  - id: beside
    cmd: bash -c 'sleep 600'
    detach: true
    when: ["-"]
  - id: detached
    cmd: bash -c 'sleep 600'
    detach: true
  - cmd: docker run -d --name db postgres
  - id: cache
    cmd: docker run --detach redis
  - cmd: docker run -d --name queue --network own --network-alias jobs --network-alias=mail redis
  - cmd: docker network connect --alias store own db
  - id: over
    cmd: docker run --name ended bash
  - id: image
    build: -t app .
    when: ["-"]
  - id: wrong
    cmd: docker run --nosuch "
`);
  assert.deepEqual(serviceNames(steps), ['beside', 'detached', 'db', 'cache', 'queue', 'jobs', 'mail', 'store']);
});
