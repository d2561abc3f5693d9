import type { RegistryCredential } from '../../wire/builds/agent-protocol.ts';
import { parseImageName, withHub, withTag } from '../../wire/tasks/image-name.ts';

/** The images of one `pack build`: those that it pushes, and those that it stands on. */
export type PackImages = { readonly pushed: readonly string[]; readonly read: readonly string[] };

/** What a builder signs in to a registry with; `scopes` are all that it may do there, where that can be limited. */
export type PackLogin = { readonly credential: RegistryCredential; readonly scopes: readonly string[] | undefined };

const hubHosts = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];

/**
 * What a builder needs to make an image, and no more: in registries of the installation the repositories of these images,
 * elsewhere the passwords of their registries. Others are not lent to it.
 */
export function loginsFor(
  { pushed, read }: PackImages,
  credentials: readonly RegistryCredential[],
  ownServers: readonly string[],
): readonly PackLogin[] {
  const needs = [...read.map((image) => needOf(image, 'pull')), ...pushed.map((image) => needOf(image, 'pull,push'))];
  const own = new Set(ownServers.map(hostOf));
  return credentials.flatMap((credential): PackLogin[] => {
    const host = hostOf(credential.server);
    const here = needs.filter((need) => need.host === host);
    if (here.length === 0) return [];
    if (!own.has(host)) return [{ credential, scopes: undefined }];
    // What is pushed comes last: it counts where it is read too.
    const byRepository = new Map(here.map(({ repository, actions }) => [repository, actions]));
    const scopes = [...byRepository].map(([repository, actions]) => `repository:${repository}:${actions}`);
    return [{ credential, scopes }];
  });
}

type Need = { readonly host: string; readonly repository: string; readonly actions: string };

function needOf(image: string, actions: string): Need {
  const { registry, repository } = withHub(parseImageName(withTag(image)));
  return { host: hostOf(registry), repository, actions };
}

function hostOf(server: string): string {
  const host = (server.replace(/^https?:\/\//i, '').split('/')[0] ?? '').toLowerCase();
  return hubHosts.includes(host) ? 'docker.io' : host;
}
