import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { azSetUp } from '../support/az-set-up.ts';
import { startBerth } from '../support/berth-server.ts';
import { freePort } from '../support/free-port.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const registrySchema = z.looseObject({ loginServer: z.string(), provisioningState: z.literal('Succeeded') });

test('az works against a control plane on an address of its own; registries answer on theirs, and not the other way round', async () => {
  const management = `localhost:${await freePort()}`;
  const folder = temporaryFolder('az-management');
  await using server = await startBerth({ settings: { management } });
  const environment: Record<string, string> = {
    HOME: folder.path,
    AZURE_CONFIG_DIR: `${folder.path}/az`,
    AZURE_CORE_COLLECT_TELEMETRY: 'no',
    AZURE_CORE_NO_COLOR: 'true',
    AZURE_CORE_ONLY_SHOW_ERRORS: 'true',
  };
  const type = async (lines: string) => (await run('bash', ['-euc', lines], { env: environment })).stdout;
  environment.REQUESTS_CA_BUNDLE = (await type(azSetUp(server))).trim();

  assert.equal((await type('az cloud show --query endpoints.resourceManager -o tsv')).trim(), `https://${management}`);
  await type('az group create -n demo -l local -o none');
  await type('az acr create -n contoso -g demo --sku Basic --admin-enabled true -o none');
  const { loginServer } = registrySchema.parse(JSON.parse(await type('az acr show -n contoso -o json')));
  assert.equal(new URL(`https://${loginServer}`).port, String(server.ports.https));
  const password = (await type("az acr credential show -n contoso --query 'passwords[0].value' -o tsv")).trim();

  const curl = async (address: string, ...more: readonly string[]) =>
    (
      await run('curl', [
        ...['-s', '-o', '/dev/null', '-w', '%{http_code}', '--cacert', server.caPath],
        ...more,
        address,
      ])
    ).stdout;
  assert.equal(await curl(`https://${loginServer}/v2/`, '-u', `contoso:${password}`), '200');
  assert.equal(await curl(`https://${management}/v2/`, '-u', `contoso:${password}`), '404');
  assert.equal(await curl(`${server.https}/subscriptions?api-version=2022-12-01`), '404');
  assert.equal(await curl(`${server.https}/adfs/.well-known/openid-configuration`), '404');

  await type('az acr delete -n contoso -y');
  assert.equal(await type("az acr list --query '[].name' -o tsv"), 'local\n');
  await type('az group delete -n demo -y');
  folder.remove();
});
