import { z } from 'zod';

const id = z.string().max(1_000).nullish();

/** What can be set of a diagnostic setting. Source: Microsoft.Insights/diagnosticSettings 2021-05-01-preview. */
export const diagnosticSettingSchema = z.object({
  storageAccountId: id,
  workspaceId: id,
  eventHubAuthorizationRuleId: id,
  marketplacePartnerId: id,
  logs: z
    .array(
      z.object({
        category: z.string().nullish(),
        categoryGroup: z.string().nullish(),
        enabled: z.boolean(),
      }),
    )
    .max(20)
    .nullish(),
  metrics: z
    .array(z.object({ enabled: z.boolean() }))
    .max(20)
    .nullish(),
});
