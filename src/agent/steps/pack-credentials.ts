import type { RegistryCredential } from '../../wire/builds/agent-protocol.ts';
import { parseImageName, withHub, withTag } from '../../wire/tasks/image-name.ts';

const hubHosts = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];

/** Those that a builder needs to make an image: of the registries of these images. Other passwords are not lent to it. */
export function credentialsFor(
  images: readonly string[],
  credentials: readonly RegistryCredential[],
): readonly RegistryCredential[] {
  const needed = new Set(images.map((image) => hostOf(withHub(parseImageName(withTag(image))).registry)));
  return credentials.filter(({ server }) => needed.has(hostOf(server)));
}

function hostOf(server: string): string {
  const host = (server.replace(/^https?:\/\//i, '').split('/')[0] ?? '').toLowerCase();
  return hubHosts.includes(host) ? 'docker.io' : host;
}
