import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ClientAssertionCredential, WorkloadIdentityCredential } from '@azure/identity';
import { decodeJwt } from 'jose';
import { z } from 'zod';
import { openCertificateAuthority } from '../../src/platform/certificates/certificate-authority.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds } from '../../src/platform/system-ids.ts';
import { AzMachine, type AzRelease, azReleases, azReleasesInTurn } from '../support/az-machine.ts';
import { azRest } from '../support/az-rest.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { OidcIssuer } from '../support/oidc-issuer.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// Tokens of outside issuers, in place of stored secrets: what a pipeline and a cluster do.

const host = 'token.actions.example';
const subject = 'repo:contoso/app:ref:refs/heads/main';
const audience = 'api://AzureADTokenExchange';
const folder = temporaryFolder('federation');
let issuer: OidcIssuer;
let server: BerthServer;

before(async () => {
  const authority = await openCertificateAuthority({ folder: folder.path, clock: systemClock, ids: systemIds });
  const { certPem: cert, keyPem: key } = await authority.issue({ dns: [host], ip: [] });
  issuer = await OidcIssuer.start({ issuer: `https://${host}`, tls: { cert, key } });
  server = await startBerth({
    settings: { 'outbound-host': `${host}=127.0.0.1:${issuer.port}` },
    env: { NODE_EXTRA_CA_CERTS: authority.path },
  });
});
after(async () => {
  await server.remove();
  await issuer.stop();
  folder.remove();
});

const tokenOf = (sub = subject, aud = audience) => issuer.token({ sub, aud });

for (const release of azReleasesInTurn('newest')) {
  describe(`az ${release.version}`, () => {
    let owner: AzMachine;
    let stranger: AzMachine;
    let pipelines = 0;

    before(async () => {
      owner = await machine(release, 'owner');
      stranger = await machine(release, 'stranger', '--cloud-only');
    });

    /** The CLI keeps tokens, so that each sign-in is on a machine that knows none. */
    const signIn = (clientId: string, token: string) => {
      pipelines += 1;
      const pipeline = stranger.twin(join(folder.path, release.version, `pipeline-${pipelines}`));
      const login = `az login --service-principal -u ${clientId} --tenant ${server.bootstrap.tenantId}`;
      return { pipeline, line: `${login} --federated-token '${token}' --allow-no-subscriptions` };
    };
    const signedIn = async (clientId: string, token: string) => {
      const { pipeline, line } = signIn(clientId, token);
      await pipeline.type(line);
      const access = await pipeline.json('az account get-access-token --query accessToken');
      return decodeJwt(String(access)).appid;
    };
    const refused = async (clientId: string, token: string) => {
      const { pipeline, line } = signIn(clientId, token);
      return await pipeline.refused(line);
    };

    test('an application trusts the tokens of a pipeline as long as its federated credential says so', async () => {
      const appId = String(await owner.json('az ad app create --display-name pipeline --query appId'));
      await owner.type(`az ad sp create --id ${appId}`);
      const federated = `az ad app federated-credential`;
      const trust = { name: 'main', issuer: issuer.issuer, subject, audiences: [audience], description: 'pushes' };
      const made = await owner.json(`${federated} create --id ${appId} --parameters '${JSON.stringify(trust)}'`);
      assert.partialDeepStrictEqual(made, trust);
      assert.deepEqual(await owner.json(`${federated} list --id ${appId} --query '[].name'`), ['main']);
      assert.equal(await signedIn(appId, await tokenOf()), appId);
      assert.match(await refused(appId, await tokenOf(`${subject}s`)), /AADSTS700027: .*no federated credential/s);
      assert.match(await refused(appId, await tokenOf(subject, 'other')), /unexpected "aud" claim value/);
      const changed = JSON.stringify({ ...trust, subject: 'repo:contoso/other' });
      await owner.type(`${federated} update --id ${appId} --federated-credential-id main --parameters '${changed}'`);
      const shown = await owner.json(`${federated} show --id ${appId} --federated-credential-id main --query subject`);
      assert.equal(shown, 'repo:contoso/other');
      assert.match(await refused(appId, await tokenOf()), /no federated credential/);
      await owner.type(`${federated} delete --id ${appId} --federated-credential-id main`);
      assert.match(await refused(appId, await tokenOf('repo:contoso/other')), /no federated credential/);
      await owner.type(`az ad app delete --id ${appId}`);
    });

    test('a managed identity trusts the tokens of a cluster', async () => {
      await owner.type('az group create -n demo -l eastus');
      const clientId = String(await owner.json('az identity create -g demo -n cluster --query clientId'));
      const account = 'system:serviceaccount:default:builder';
      const federated = 'az identity federated-credential';
      await owner.type(
        `${federated} create -g demo --identity-name cluster -n builder --issuer ${issuer.issuer} --subject ${account} --audiences ${audience}`,
      );
      assert.equal(await signedIn(clientId, await tokenOf(account)), clientId);
      await owner.type(`${federated} delete -g demo --identity-name cluster -n builder --yes`);
      assert.match(await refused(clientId, await tokenOf(account)), /no federated credential/);
      await owner.type('az identity delete -g demo -n cluster');
    });
  });
}

async function machine(release: AzRelease, name: string, options?: string): Promise<AzMachine> {
  return await AzMachine.setUp(server, release, join(folder.path, release.version, name), options);
}

describe('@azure/identity', () => {
  test('a workload is signed in by the token in its file, and a program by the token it has', async () => {
    const [release] = azReleases;
    const owner = await machine(release ?? assert.fail(), 'sdk-owner');
    await owner.type('az group create -n demo -l eastus');
    const clientId = String(await owner.json('az identity create -g demo -n workload --query clientId'));
    await owner.type(
      `az identity federated-credential create -g demo --identity-name workload -n main --issuer ${issuer.issuer} --subject ${subject} --audiences ${audience}`,
    );
    const tokenFilePath = join(folder.path, 'token');
    writeFileSync(tokenFilePath, await tokenOf());
    const { tenantId } = server.bootstrap;
    const options = {
      authorityHost: server.https,
      disableInstanceDiscovery: true,
      tlsOptions: { ca: readFileSync(server.caPath, 'utf8') },
    };
    const scope = 'https://containerregistry.azure.net/.default';
    for (const credential of [
      new WorkloadIdentityCredential({ tenantId, clientId, tokenFilePath, ...options }),
      new ClientAssertionCredential(tenantId, clientId, () => tokenOf(), options),
    ]) {
      const { token } = await credential.getToken(scope);
      const { appid, aud } = decodeJwt(token);
      assert.deepEqual([appid, aud], [clientId, 'https://containerregistry.azure.net']);
    }
  });
});

describe('the guide "attach a Kubernetes cluster"', () => {
  test('its credential provider gives the kubelet what a pull signs in with', async () => {
    const rest = await azRest(server);
    const group = `${rest.subscription}/resourceGroups/clusters`;
    const identity = `${group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller`;
    const account = 'system:serviceaccount:default:default';
    await rest.done('PUT', group, { location: 'eastus' });
    await rest.done('PUT', identity, { location: 'eastus' });
    await rest.done('PUT', `${identity}/federatedIdentityCredentials/default`, {
      properties: { issuer: issuer.issuer, subject: account, audiences: [audience] },
    });
    const { properties } = z
      .looseObject({ properties: z.looseObject({ clientId: z.string() }) })
      .parse(await (await rest.send('GET', identity)).json());

    const guide = readFileSync(join(import.meta.dirname, '../../docs/guides/attach-a-kubernetes-cluster.md'), 'utf8');
    const [, program = ''] = /```sh\n(#!\/bin\/sh\n[^`]+)```/.exec(guide) ?? [];
    const { loginServer } = server.bootstrap.registry;
    const provided = await run('sh', ['-c', program], {
      input: JSON.stringify({
        apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
        kind: 'CredentialProviderRequest',
        image: `${loginServer}/app:v1`,
        serviceAccountToken: await tokenOf(account),
      }),
      env: {
        BERTH_LOGIN: server.https,
        BERTH_TENANT: server.bootstrap.tenantId,
        BERTH_CLIENT: properties.clientId,
        CURL_CA_BUNDLE: server.caPath,
      },
    });
    const credentials = z.object({ username: z.string(), password: z.string() });
    const { auth } = z.looseObject({ auth: z.record(z.string(), credentials) }).parse(JSON.parse(provided.stdout));
    assert.deepEqual(Object.keys(auth), [loginServer]);
    const { username = '', password = '' } = auth[loginServer] ?? {};
    const basic = Buffer.from(`${username}:${password}`).toString('base64');
    const query = new URLSearchParams({ service: loginServer, scope: 'repository:app:pull' });
    const answer = await fetch(`${server.http}/oauth2/token?${query}`, {
      headers: { authorization: `Basic ${basic}` },
    });
    assert.equal(answer.status, 200, await answer.text());
  });
});
