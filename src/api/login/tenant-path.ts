/** Whether a path belongs to sign-in, cloud metadata or the directory of the tenant (house plan, "Hosts"). */
export function isTenantPath(path: string): boolean {
  return /^\/+(adfs|common|organizations|graph|metadata|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})(\/|$)/i.test(path);
}
