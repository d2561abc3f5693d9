/** What keeps containers of a run apart inside its room. Source: buildah(1), `--isolation`. */
export type ContainerIsolation = 'oci' | 'chroot';

/** What an agent is told: `auto` takes oci where it works, else chroot; with `oci` there is no agent where it does not. */
export const isolationWishes = ['auto', 'oci', 'chroot'] as const;
export type IsolationWish = (typeof isolationWishes)[number];

/** Whether runc starts containers on this machine; or why it does not, and what would mend it. */
export type OciState =
  | { readonly works: true }
  | { readonly works: false; readonly why: string; readonly help: string };

export type IsolationChoice =
  | { readonly kind: 'strong' }
  /** Chroot: `weakness` is for whoever starts runs, `help` for whoever starts agents. */
  | { readonly kind: 'weak'; readonly isAsked: boolean; readonly weakness: string; readonly help: string }
  | { readonly kind: 'none'; readonly missing: string };

/** What keeps containers apart on a machine with such an oci, when it is told this. */
export function chooseIsolation(wish: IsolationWish, oci: OciState): IsolationChoice {
  if (wish === 'chroot') return weak(true, '--build-isolation chroot', 'use oci where runc can be installed');
  if (oci.works) return { kind: 'strong' };
  if (wish === 'auto') return weak(false, oci.why, oci.help);
  const { why, help } = oci;
  return { kind: 'none', missing: `${why}: ${help}, or do without by --build-isolation auto` };
}

/** Its containers see the processes of their room. */
function weak(isAsked: boolean, why: string, help: string): IsolationChoice {
  const weakness = `containers are kept apart by chroot alone (${why}), so a step can take the credentials of its run`;
  return { kind: 'weak', isAsked, weakness, help };
}
