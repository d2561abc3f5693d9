import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { z } from 'zod';
import { AzMachine, azReleasesInTurn } from '../support/az-machine.ts';
import { useWorkbench } from './workbench.ts';

const scopeMapSchema = z.looseObject({
  name: z.string(),
  type: z.string(),
  description: z.string(),
  actions: z.array(z.string()),
  creationDate: z.string(),
  provisioningState: z.literal('Succeeded'),
});
const passwordSchema = z.looseObject({
  name: z.enum(['password1', 'password2']),
  creationTime: z.string(),
  expiry: z.string().nullable(),
  value: z.string().nullish(),
});
const credentialsSchema = z.looseObject({ username: z.string().nullish(), passwords: z.array(passwordSchema) });
const tokenSchema = z.looseObject({
  name: z.string(),
  status: z.enum(['enabled', 'disabled']),
  scopeMapId: z.string(),
  creationDate: z.string(),
  provisioningState: z.literal('Succeeded'),
  credentials: credentialsSchema,
});

/** What tutorials type; both ends of the range of Azure CLIs. Source: az wire document, 2.13, 2.14. */
for (const release of azReleasesInTurn('newest')) {
  describe(`az ${release.version}: scope maps and repository tokens`, () => {
    const bench = useWorkbench();
    let az: AzMachine;

    const passwordsOf = (token: unknown) =>
      credentialsSchema.parse(token).passwords.map(({ value }) => value ?? assert.fail());
    /** `docker login` of a token, in a client that needs no daemon. */
    const login = (userName: string, password: string) => {
      const trust = ['--cert-dir', bench().certificates];
      const who = ['--username', userName, '--password-stdin', bench().named.host];
      return bench().try('skopeo', ['login', ...trust, ...who], { input: password });
    };
    const push = (repository: string) => {
      const trust = ['--dest-cert-dir', bench().certificates];
      return bench().try('skopeo', [
        ...['copy', ...trust, '--override-arch', 'arm64', 'oci:samples:multi'],
        `docker://${bench().named.host}/${repository}:v1`,
      ]);
    };
    const pull = (repository: string) => {
      const image = `docker://${bench().named.host}/${repository}:v1`;
      return bench().try('skopeo', [
        ...['inspect', '--raw', '--cert-dir', bench().certificates, '--override-arch', 'arm64', image],
      ]);
    };

    before(async () => {
      az = await AzMachine.setUp(bench().server, release, join(bench().folder, 'az'));
    });

    test('a scope map is made, shown, changed by adding and removing, listed beside those of the system, deleted', async () => {
      const created = scopeMapSchema.parse(
        await az.json(
          'az acr scope-map create -r local -n makers --description "for makers" --repository Team/App content/read content/write --repository "samples/*" content/read',
        ),
      );
      assert.deepEqual(created.actions, [
        'repositories/team/app/content/read',
        'repositories/team/app/content/write',
        'repositories/samples/*/content/read',
      ]);
      assert.deepEqual(scopeMapSchema.parse(await az.json('az acr scope-map show -r local -n makers')), created);
      const updated = scopeMapSchema.parse(
        await az.json(
          'az acr scope-map update -r local -n makers --add-repository team/lib metadata/read --remove-repository team/app content/write --description "still"',
        ),
      );
      assert.deepEqual(
        [updated.description, ...[...updated.actions].sort()],
        [
          'still',
          'repositories/samples/*/content/read',
          'repositories/team/app/content/read',
          'repositories/team/lib/metadata/read',
        ],
      );
      assert.deepEqual(await az.json('az acr scope-map list -r local --query "[].name"'), [
        '_repositories_admin',
        '_repositories_pull',
        '_repositories_pull_metadata_read',
        '_repositories_push',
        '_repositories_push_metadata_write',
        'makers',
      ]);
      assert.match(await az.refused('az acr scope-map delete -r local -n _repositories_pull -y'), /is built in/);
      assert.match(
        await az.refused('az acr scope-map create -r local -n wrong1 --repository "sample/team*" content/read'),
        /'repositories\/sample\/team\*\/content\/read' is invalid: use repositories\/<name>\/<right>/,
      );
      await az.type('az acr scope-map delete -r local -n makers -y');
      assert.match(await az.refused('az acr scope-map show -r local -n makers'), /ResourceNotFound/);
    });

    test('a token for one repository pushes there and nowhere else, with passwords that are shown once', async () => {
      const created = tokenSchema.parse(
        await az.json('az acr token create -r local -n webapp --repository app/web content/read content/write'),
      );
      assert.match(created.scopeMapId, /\/scopeMaps\/webapp-scope-map$/);
      assert.equal(created.credentials.username, 'webapp');
      const [first = '', second = ''] = passwordsOf(created.credentials);
      for (const password of [first, second]) assert.equal((await login('webapp', password)).code, 0);
      assert.equal((await push('app/web')).code, 0);
      assert.equal((await pull('app/web')).code, 0);
      for (const outcome of [await push('app/other'), await pull('app/other')]) {
        assert.notEqual(outcome.code, 0);
        assert.match(outcome.output, /denied|unauthorized|authentication required/i);
      }
      const shown = tokenSchema.parse(await az.json('az acr token show -r local -n webapp'));
      assert(!JSON.stringify(shown).includes(first));
      assert.match(
        await az.type('az acr token list -r local -o table'),
        /^webapp +webapp-scope-map +Never +Never +Enabled +Succeeded/m,
      );
      const again = 'az acr token create -r local -n webapp --repository app/web content/read';
      assert.match(await az.refused(again), /scope map/i);
    });

    test('passwords are renewed and deleted one by one, and expire when asked to', async () => {
      const created = await az.json(
        'az acr token create -r local -n rotating --scope-map _repositories_pull --expiration-in-days 2 --query credentials',
      );
      const expiries = credentialsSchema.parse(created).passwords.map(({ expiry }) => Date.parse(expiry ?? ''));
      for (const expiry of expiries) assert.ok(Math.abs(expiry - Date.now() - 2 * 86_400_000) < 600_000);
      const [first = '', second = ''] = passwordsOf(created);
      const generated = await az.json('az acr token credential generate -r local -n rotating --password1');
      const [third = ''] = passwordsOf(generated);
      const codes = async () => {
        const outcomes = [];
        for (const password of [first, second, third]) outcomes.push((await login('rotating', password)).code === 0);
        return outcomes;
      };
      assert.deepEqual(await codes(), [false, true, true]);
      await az.type('az acr token credential delete -r local -n rotating --password2');
      assert.deepEqual(await codes(), [false, false, true]);
      const left = await az.json(
        'az acr token show -r local -n rotating --query "credentials.passwords[].[name, expiry]"',
      );
      assert.deepEqual(left, [['password1', null]]);
      await az.type('az acr token credential delete -r local -n rotating --password1');
      assert.deepEqual(await codes(), [false, false, false]);
    });

    test('a token that is disabled, gets another scope map or is deleted is so from the next request on', async () => {
      const created = await az.json(
        'az acr token create -r local -n changing --scope-map _repositories_pull --query credentials',
      );
      const [password = ''] = passwordsOf(created);
      assert.equal((await login('changing', password)).code, 0);
      assert.equal((await pull('app/web')).code, 0);
      assert.notEqual((await push('app/web2')).code, 0);
      await az.type('az acr token update -r local -n changing --scope-map _repositories_push -o none');
      assert.equal((await push('app/web2')).code, 0);
      await az.type('az acr token update -r local -n changing --status disabled -o none');
      assert.notEqual((await pull('app/web')).code, 0);
      await az.type('az acr token update -r local -n changing --status enabled -o none');
      assert.equal((await pull('app/web')).code, 0);
      await az.type('az acr token delete -r local -n changing -y');
      assert.notEqual((await pull('app/web')).code, 0);
    });

    test('a scope map in use stays; a token without passwords has none until they are made', async () => {
      await az.type('az acr scope-map create -r local -n needed --repository app content/read -o none');
      const made = await az.json('az acr token create -r local -n quiet --scope-map needed --no-passwords');
      assert.deepEqual(tokenSchema.parse(made).credentials.passwords, []);
      assert.match(await az.refused('az acr scope-map delete -r local -n needed -y'), /\(ScopeMapInUse\).*quiet/s);
      await az.type('az acr token delete -r local -n quiet -y');
      await az.type('az acr scope-map delete -r local -n needed -y');
      const missing = 'az acr token create -r local -n quiet --scope-map needed';
      assert.match(await az.refused(missing), /The scope map 'needed' does not exist in the registry 'local'/);
    });

    test('show-usage counts them, and the list of all resources leaves them out', async () => {
      const counted = await az.json(
        'az acr show-usage -n local --query "value[?name==\'Tokens\'].[currentValue, limit] | [0]"',
      );
      assert.deepEqual(counted, [2, 50_000]);
      assert.deepEqual(await az.json('az resource list --query "[].name"'), ['local']);
    });
  });
}
