import type { Queries, Transaction } from '../../platform/database/database.ts';

export type Subscription = {
  /** GUID. */
  readonly subscriptionId: string;
  readonly displayName: string;
};

export async function listSubscriptions(queries: Queries, tenantUid: string): Promise<Subscription[]> {
  return await queries
    .selectFrom('subscriptions')
    .where('tenant_uid', '=', tenantUid)
    .orderBy('subscription_id')
    .select(['subscription_id as subscriptionId', 'display_name as displayName'])
    .execute();
}

/** The tenant's first subscription; made with the installation's id, or a new one, when there is none yet. */
export async function firstSubscription(
  tx: Transaction,
  tenantUid: string,
  made: { readonly subscriptionId: string; readonly nowMicros: number },
): Promise<string> {
  const [first] = await listSubscriptions(tx, tenantUid);
  if (first !== undefined) return first.subscriptionId;
  const installed = await tx
    .selectFrom('installation')
    .where('tenant_uid', '=', tenantUid)
    .select('subscription_id')
    .executeTakeFirst();
  const subscriptionId = installed?.subscription_id ?? made.subscriptionId;
  await tx
    .insertInto('subscriptions')
    .values({
      subscription_id: subscriptionId,
      tenant_uid: tenantUid,
      display_name: 'Berth',
      created_at: made.nowMicros,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return subscriptionId;
}
