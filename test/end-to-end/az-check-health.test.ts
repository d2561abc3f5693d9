import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { azReleases } from '../support/az-machine.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const berth = join(import.meta.dirname, '../../bin/berth');

/** In a network of its own, where 443 is free: the login server must have no port for it. Source: az wire document, 3.8. */
const script = `
ip link set lo up
for name in $(env | sed -n 's/^\\(BERTH_[A-Z_]*\\)=.*/\\1/p'); do unset "$name"; done
"$BERTH" serve --data "$FOLDER/data" --http localhost:80 --https localhost:443 >"$FOLDER/log" 2>&1 &
server=$!
trap 'kill $server; wait $server' EXIT
for round in $(seq 100); do curl -fs http://localhost/readyz >/dev/null && break; sleep 0.2; done
lines="$("$BERTH" az-cloud --data "$FOLDER/data")"
eval "$lines" >/dev/null
az acr check-health -n local --ignore-errors --yes 2>&1`;

describe('az acr check-health', () => {
  for (const release of azReleases)
    test(`every step of az ${release.version} that speaks to the server passes`, async () => {
      const folder = temporaryFolder('check-health');
      mkdirSync(join(folder.path, 'az'));
      try {
        const { PATH = '' } = process.env;
        const { output } = await run('unshare', ['--net', 'bash', '-uc', script], {
          env: {
            BERTH: berth,
            FOLDER: folder.path,
            HOME: folder.path,
            PATH: `${await release.folder()}:${PATH}`,
            AZURE_CONFIG_DIR: join(folder.path, 'az'),
            AZURE_CORE_COLLECT_TELEMETRY: 'no',
            AZURE_CORE_NO_COLOR: 'true',
          },
        });
        const host = 'local.berth.localhost';
        for (const line of [
          `DNS lookup to ${host} at IP 127.0.0.1 : OK`,
          `Challenge endpoint https://${host}/v2/ : OK`,
          `Fetch refresh token for registry '${host}' : OK`,
          `Fetch access token for registry '${host}' : OK`,
        ])
          assert(output.includes(line), `${line}\n${output}`);
        assert.doesNotMatch(output, /CONNECTIVITY|LOGIN_SERVER|UNEXPECTED|CMK/);
      } finally {
        folder.remove();
      }
    });
});
