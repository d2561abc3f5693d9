/** What keeps containers of a run apart inside its room. Source: buildah(1), `--isolation`. */
export const containerIsolations = ['oci', 'chroot'] as const;
export type ContainerIsolation = (typeof containerIsolations)[number];

/** What there is to know of chroot: its containers see the processes of their room. */
export const chrootWeakness =
  'containers are kept apart by chroot alone (--build-isolation chroot), so a step can take the credentials of its run';
