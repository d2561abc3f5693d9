import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { startBerth } from '../support/berth-server.ts';
import { startContainerd } from '../support/containerd.ts';
import { startDocker } from '../support/docker.ts';
import { withPrivateMounts } from '../support/private-mounts.ts';
import { storageFlags } from '../support/samples.ts';
import { Client, debianClient, goClient, hostsFile } from './client.ts';
import { useWorkbench, type Workbench } from './workbench.ts';

type Bench = () => Workbench;

const wrong = { input: 'not the password' };
const plain = ['--tls-verify=false'];
const asAdmin = (bench: Bench) => ['-u', bench().username, '--password-stdin'];
const host = (bench: Bench) => bench().http.host;

/** How a person signs in with each client, and what tells them that the password is wrong. */
const wrongPassword: readonly {
  readonly client: string;
  readonly says: RegExp;
  readonly attempt: (bench: Bench) => Promise<string>;
}[] = [
  { client: 'docker', says: /unauthorized: .*(password|authentication)/, attempt: dockerLogin },
  {
    client: 'podman',
    says: /invalid username\/password/,
    attempt: (bench) =>
      debianClient(bench, 'podman', ({ folder }) => storageFlags(folder)).fail(
        ['login', ...plain, ...asAdmin(bench), host(bench)],
        wrong,
      ),
  },
  {
    client: 'skopeo',
    says: /invalid username\/password/,
    attempt: (bench) => debianClient(bench, 'skopeo').fail(['login', ...plain, ...asAdmin(bench), host(bench)], wrong),
  },
  {
    client: 'buildah',
    says: /invalid username\/password/,
    attempt: (bench) =>
      debianClient(bench, 'buildah', ({ folder }) => storageFlags(folder)).fail(
        ['login', ...plain, ...asAdmin(bench), host(bench)],
        wrong,
      ),
  },
  { client: 'ctr', says: /failed to authorize: .*401 Unauthorized/, attempt: ctrPull },
  {
    client: 'crane',
    says: /UNAUTHORIZED: .*(password|authentication)/,
    attempt: async (bench) => {
      const crane = goClient(bench, 'crane');
      await crane.run(['auth', 'login', host(bench), ...asAdmin(bench)], wrong);
      return await crane.fail(['digest', `${host(bench)}/sign-in:v1`]);
    },
  },
  {
    client: 'oras',
    says: /unauthorized: .*(password|authentication)/,
    attempt: (bench) => goClient(bench, 'oras').fail(['login', '--plain-http', host(bench), ...asAdmin(bench)], wrong),
  },
  {
    client: 'helm',
    says: /unauthorized: .*(password|authentication)/,
    attempt: (bench) =>
      goClient(bench, 'helm').fail(['registry', 'login', '--plain-http', host(bench), ...asAdmin(bench)], wrong),
  },
  {
    client: 'regctl',
    says: /unauthorized/,
    attempt: async (bench) => {
      const regctl = goClient(bench, 'regctl');
      await regctl.run(['registry', 'set', host(bench), '--skip-check', '--tls', 'disabled']);
      return await regctl.fail(['registry', 'login', host(bench), '-u', bench().username, '--pass-stdin'], wrong);
    },
  },
  {
    client: 'cosign',
    says: /UNAUTHORIZED: .*(password|authentication)/,
    attempt: async (bench) => {
      const cosign = goClient(bench, 'cosign');
      await cosign.run(['login', host(bench), '-u', bench().username, '-p', 'not the password']);
      return await cosign.fail(['triangulate', `${host(bench)}/sign-in:v1`]);
    },
  },
  {
    client: 'notation',
    says: /unauthorized: .*(password|authentication)/,
    attempt: (bench) =>
      goClient(bench, 'notation').fail(['login', '--insecure-registry', host(bench), ...asAdmin(bench)], wrong),
  },
];

for (const { client, says, attempt } of wrongPassword) {
  describe(`a wrong password in ${client}`, () => {
    const bench = useWorkbench();
    test('is told as such', async () => assert.match(await attempt(bench), says));
  });
}

describe('a token', () => {
  const bench = useWorkbench();
  const skopeo = debianClient(bench, 'skopeo');
  const crane = goClient(bench, 'crane');

  /** The same token in both clients' own ways: skopeo takes it as a flag, crane from docker's configuration. */
  const useToken = (token: string, tag: string) => {
    const configuration = { auths: { [host(bench)]: { registrytoken: token } } };
    writeFileSync(join(bench().env.DOCKER_CONFIG ?? '', 'config.json'), JSON.stringify(configuration));
    return {
      pushWithCrane: ['push', '--index', 'samples', `${host(bench)}/token:crane-${tag}`],
      copyWithSkopeo: [
        ...['copy', '--dest-tls-verify=false', '--dest-registry-token', token],
        ...['oci:samples:app', `docker://${host(bench)}/token:skopeo-${tag}`],
      ],
    };
  };

  test('that may push pushes', async () => {
    const { pushWithCrane, copyWithSkopeo } = useToken(
      await accessToken(bench(), 'repository:token:pull,push'),
      'both',
    );
    await crane.run(pushWithCrane);
    await skopeo.run(copyWithSkopeo);
  });

  test('that may only pull is refused a push, and the person reads why', async () => {
    const { pushWithCrane, copyWithSkopeo } = useToken(await accessToken(bench(), 'repository:token:pull'), 'pull');
    assert.match(await crane.fail(pushWithCrane), tooNarrow);
    assert.match(await skopeo.fail(copyWithSkopeo), tooNarrow);
  });

  test('for another repository is refused, and the person reads why', async () => {
    const { pushWithCrane, copyWithSkopeo } = useToken(
      await accessToken(bench(), 'repository:other:pull,push'),
      'other',
    );
    // Both ask with HEAD first, whose answers have no text.
    assert.match(await crane.fail(pushWithCrane), /401 Unauthorized/);
    assert.match(await skopeo.fail(copyWithSkopeo), /unauthorized: authentication required|401/);
  });
});

describe('a token whose time is over', () => {
  const bench = useWorkbench();

  test('is refused, and the person reads that they must sign in', async () => {
    const token = await accessToken(bench(), 'repository:token:pull,push');
    await bench().server.stop();
    await using later = await startBerth({ ...bench().server.again, env: twoDaysLater });
    assert.ok(later.running);
    const copy = ['copy', '--dest-tls-verify=false', '--dest-registry-token', token];
    const output = await debianClient(bench, 'skopeo').fail([
      ...copy,
      'oci:samples:app',
      `docker://${host(bench)}/token:v1`,
    ]);
    assert.match(output, /authentication required|expired/);
  });
});

const tooNarrow = /the access token does not cover this action/;

/** A server that starts so sees a clock two days ahead. Source: faketime(1). */
const twoDaysLater = {
  LD_PRELOAD: '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  FAKETIME: '+2d',
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
};

/** An access token of the administrator's for one scope, asked for as clients do. */
async function accessToken(bench: Workbench, scope: string): Promise<string> {
  const query = new URLSearchParams({ service: bench.server.bootstrap.registry.loginServer, scope });
  const answer = await bench.request('GET', `/oauth2/token?${query}`);
  return z.object({ access_token: z.string() }).parse(await answer.json()).access_token;
}

async function dockerLogin(bench: Bench): Promise<string> {
  const { folder, server } = bench();
  const engine = await startDocker({ folder, hosts: [], caPath: server.caPath, mounts: [hostsFile(bench())] });
  try {
    const docker = new Client(bench, (_, args) =>
      withPrivateMounts(engine.mounts, 'docker', ['--host', engine.address, ...args]),
    );
    return await docker.fail(['login', host(bench), ...asAdmin(bench)], wrong);
  } finally {
    await engine.stop();
  }
}

async function ctrPull(bench: Bench): Promise<string> {
  const containerd = await startContainerd(bench().folder);
  try {
    const ctr = debianClient(bench, 'ctr', () => ['--address', containerd.address]);
    const user = ['--user', `${bench().username}:not the password`];
    return await ctr.fail(['images', 'pull', '--plain-http', ...user, `${host(bench)}/sign-in:v1`]);
  } finally {
    await containerd.stop();
  }
}
