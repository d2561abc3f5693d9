import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { AzMachine, azReleases } from '../support/az-machine.ts';
import { type Docker, startDocker } from '../support/docker.ts';
import { withPrivateMounts } from '../support/private-mounts.ts';
import { programFolder } from '../support/program-folder.ts';
import { storageFlags } from '../support/samples.ts';
import { Client, debianClient, hostsFile } from './client.ts';
import { useWorkbench } from './workbench.ts';

const tokenUserName = '00000000-0000-0000-0000-000000000000';
const storedSchema = z.looseObject({
  auths: z.record(z.string(), z.looseObject({ auth: z.string().optional(), identitytoken: z.string().optional() })),
});
const claimsSchema = z.looseObject({
  aud: z.string(),
  exp: z.int(),
  iat: z.int(),
  grant_type: z.literal('refresh_token'),
  permissions: z.looseObject({ actions: z.array(z.string()) }),
});
const secretSchema = z.looseObject({ appId: z.string(), password: z.string() });

function claimsOf(token: string) {
  return claimsSchema.parse(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()));
}

/** What people type to sign docker and podman in. Source: az wire document, 3.7; ACR semantics, "Methods". */
describe('sign-in of docker and podman', () => {
  const bench = useWorkbench();
  let engine: Docker | undefined;
  const dockerLine = (args: readonly string[]) => {
    assert.ok(engine !== undefined);
    return withPrivateMounts(engine.mounts, 'docker', ['--host', engine.address, ...args]);
  };
  const docker = new Client(bench, (_, args) => dockerLine(args));
  const podmanFlags = ({ folder }: { readonly folder: string }) => [
    ...[...storageFlags(folder), '--tmpdir', join(folder, 'libpod'), '--events-backend', 'file'],
    ...['--runtime', 'runc', '--cgroup-manager', 'cgroupfs'],
  ];
  const podman = debianClient(bench, 'podman', podmanFlags);
  const skopeo = debianClient(bench, 'skopeo');
  const machines = new Map<string, AzMachine>();
  const az = (version: string) => machines.get(version) ?? assert.fail();
  const newest = () => az(azReleases.at(-1)?.version ?? '');
  const image = (repository: string) => `${bench().named.host}/${repository}:v1`;

  before(async () => {
    const { folder, named, server } = bench();
    const mounts = [hostsFile(bench())];
    engine = await startDocker({ folder, hosts: [named.host], caPath: server.caPath, mounts });
    await skopeo.run(['copy', '--override-arch', 'arm64', 'oci:samples:multi', 'docker-archive:arm.tar:sample:arm']);
    await docker.run(['load', '-i', 'arm.tar']);
    for (const release of azReleases)
      machines.set(release.version, await AzMachine.setUp(server, release, join(folder, `az-${release.version}`)));
  });
  after(async () => await engine?.stop());

  /** The environment in which `az` starts `docker`, which is that command line. */
  const starting = async (version: string, line: { readonly command: string; readonly args: readonly string[] }) => {
    const folder = programFolder(join(bench().folder, `programs-${line.args.length}`), 'docker', line);
    const release = azReleases.find((each) => each.version === version) ?? assert.fail();
    return { ...bench().env, PATH: `${folder}:${await release.folder()}:${process.env.PATH}` };
  };
  const login = (userName: string, password: string) =>
    docker.run(['login', bench().named.host, '-u', userName, '--password-stdin'], { input: password });
  const logout = () => docker.run(['logout', bench().named.host]);
  const push = async (repository: string) => {
    await docker.run(['tag', 'sample:arm', image(repository)]);
    return ['push', image(repository)];
  };
  const stored = () => {
    const file = readFileSync(join(bench().env.DOCKER_CONFIG ?? '', 'config.json'), 'utf8');
    const { auth = '', identitytoken } = storedSchema.parse(JSON.parse(file)).auths[bench().named.host] ?? {};
    const [userName = '', password = ''] = Buffer.from(auth, 'base64').toString().split(':');
    return { userName, password: identitytoken ?? password };
  };

  for (const { version } of azReleases) {
    test(`az ${version}: az acr login leaves a credential of three hours with docker, which pushes and pulls`, async () => {
      const environment = await starting(version, dockerLine([]));
      assert.match(await az(version).type('az acr login -n local', environment), /Login Succeeded/);
      const { userName, password } = stored();
      assert.equal(userName, tokenUserName);
      const { aud, exp, iat, permissions } = claimsOf(password);
      assert.deepEqual([aud, exp - iat], [bench().named.host, 3 * 3_600]);
      assert.ok(permissions.actions.includes('write'));
      await docker.run(await push(`login/docker-${version}`));
      await docker.run(['rmi', '-f', image(`login/docker-${version}`)]);
      await docker.run(['pull', '--platform', 'linux/arm64', image(`login/docker-${version}`)]);
      await logout();
      assert.match(
        await docker.fail(['pull', '--platform', 'linux/arm64', image(`login/docker-${version}`)]),
        /unauthorized|authentication required|EOF/i,
      );
    });

    test(`az ${version}: az acr login with podman in docker's place`, async () => {
      const environment = await starting(version, { command: 'podman', args: podmanFlags(bench()) });
      assert.match(await az(version).type('az acr login -n local', environment), /Login Succeeded/);
      const id = (await podman.run(['pull', '-q', '--arch', 'arm64', 'oci:samples:multi'])).trim();
      await podman.run(['push', id, image(`login/podman-${version}`)]);
      await podman.run(['rmi', '--all', '--force']);
      await podman.run(['pull', '-q', '--arch', 'arm64', image(`login/podman-${version}`)]);
      await podman.run(['logout', bench().named.host]);
    });

    test(`az ${version}: --expose-token needs no docker, and its token is a password with the null user name`, async () => {
      const exposed = z
        .looseObject({ accessToken: z.string(), loginServer: z.literal(bench().named.host) })
        .parse(await az(version).json('az acr login -n local --expose-token'));
      claimsOf(exposed.accessToken);
      assert.match(await login(tokenUserName, exposed.accessToken), /Login Succeeded/);
      await docker.run(await push('login/exposed'));
      await logout();
      assert.match(
        await docker.fail(['login', bench().named.host, '-u', tokenUserName, '--password-stdin'], {
          input: `${exposed.accessToken.slice(0, -6)}AAAAAA`,
        }),
        /unauthorized|401|authentication required/i,
      );
    });
  }

  test('a service principal signs in with id and secret, and pushes for as long as its role and secret stand', async () => {
    const scope = '$(az acr show -n local --query id -o tsv)';
    const made = `az ad sp create-for-rbac -n pusher --role AcrPush --scopes "${scope}"`;
    const { appId, password } = secretSchema.parse(await newest().json(made));
    assert.match(await login(appId, password), /Login Succeeded/);
    await docker.run(await push('login/principal'));
    await newest().type(`az role assignment delete --assignee ${appId} --role AcrPush --scope "${scope}"`);
    assert.match(await docker.fail(await push('login/principal2')), /denied|unauthorized/i);
    await newest().type(`az role assignment create --assignee ${appId} --role AcrPush --scope "${scope}" -o none`);
    await docker.run(await push('login/principal2'));
    await newest().type(`az ad app credential reset --id ${appId} -o none`);
    assert.match(await docker.fail(await push('login/principal3')), /denied|unauthorized|authentication required/i);
    await logout();
  });

  test('a repository token signs in, and pushes what its scope map says', async () => {
    const line = 'az acr token create -r local -n builder --repository login/token content/read content/write';
    const created = z
      .looseObject({ credentials: z.looseObject({ passwords: z.array(z.looseObject({ value: z.string() })) }) })
      .parse(await newest().json(line));
    const [{ value } = { value: '' }] = created.credentials.passwords;
    assert.match(await login('builder', value), /Login Succeeded/);
    await docker.run(await push('login/token'));
    assert.match(await docker.fail(await push('login/other')), /denied|unauthorized|insufficient/i);
    await newest().type('az acr token update -r local -n builder --status disabled -o none');
    assert.match(await docker.fail(await push('login/token')), /denied|unauthorized|authentication required/i);
    await logout();
  });

  test('the admin account signs in until its password is renewed or it is turned off', async () => {
    await newest().type('az acr update -n local --admin-enabled true -o none');
    const passwords = async () => {
      const shown = await newest().json('az acr credential show -n local --query "passwords[].value"');
      return z.tuple([z.string(), z.string()]).parse(shown);
    };
    const [first, second] = await passwords();
    assert.match(await login('local', first), /Login Succeeded/);
    await docker.run(await push('login/admin'));
    await newest().type('az acr credential renew -n local --password-name password -o none');
    assert.match(await docker.fail(await push('login/admin2')), /denied|unauthorized|authentication required/i);
    assert.match(await login('local', second), /Login Succeeded/);
    await docker.run(await push('login/admin2'));
    await newest().type('az acr update -n local --admin-enabled false -o none');
    assert.match(await docker.fail(await push('login/admin3')), /denied|unauthorized|authentication required/i);
    await logout();
  });

  test('an address that the network rules keep out is told so, by az and by docker', async () => {
    await newest().type('az acr update -n local --default-action Deny -o none');
    assert.match(await newest().refused('az acr login -n local --expose-token'), /don't have access to registry/);
    assert.match(
      await docker.fail(['login', bench().named.host, '-u', tokenUserName, '--password-stdin'], { input: 'x' }),
      /403 Forbidden|not allowed access/,
    );
    // Names of this machine have an address of either kind.
    for (const address of ['127.0.0.0/8', '::1'])
      await newest().type(`az acr network-rule add -n local --ip-address ${address} -o none`);
    assert.match(await newest().type('az acr login -n local --expose-token --query loginServer'), /berth/);
    for (const address of ['127.0.0.0/8', '::1'])
      await newest().type(`az acr network-rule remove -n local --ip-address ${address} -o none`);
    await newest().type('az acr update -n local --default-action Allow -o none');
  });
});
