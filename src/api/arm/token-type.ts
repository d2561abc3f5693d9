import {
  checkTokenName,
  repositoryTokenType,
  storedTokenOf,
  validateToken,
} from '../../features/access/repository-token.ts';
import { type GeneratePasswordsParts, generatePasswords } from '../../features/access/repository-token-passwords.ts';
import { applyToken, forgetToken, settleToken } from '../../features/access/repository-token-rows.ts';
import { objectIdOf } from '../../features/identity/object-id.ts';
import { plainJson } from '../../features/registries/registry-rules.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { generateCredentialsSchema, tokenPasswordNames } from '../../wire/arm/token-schema.ts';
import type { ArmAction, ArmType } from './arm-type.ts';
import { isoTime } from './resource-view.ts';

/** Repository tokens. Source: Microsoft.ContainerRegistry/registries/tokens; az wire document, 2.14. */
export function repositoryTokenArmType({ database: { kind } }: Pick<GeneratePasswordsParts, 'database'>): ArmType {
  return {
    type: repositoryTokenType,
    level: 'child',
    hasLocation: false,
    hasSystemData: true,
    checkName: checkTokenName,
    validate: validateToken,
    settle: (tx, change) => settleToken(kind, tx, change),
    apply: (writing, change) => applyToken(kind, writing, change),
    forget: ({ tx }, resource) => forgetToken(tx, resource),
    properties: (resource) => ({
      ...plainJson(storedTokenOf(resource)),
      objectId: objectIdOf(resource.uid),
      creationDate: isoTime(resource.createdAtMicros),
      provisioningState: resource.state,
    }),
  };
}

/** `POST {registry}/generateCredentials`: the one time that values of passwords are shown. */
export function generateCredentialsAction(parts: GeneratePasswordsParts): ArmAction {
  return {
    method: 'POST',
    isChange: true,
    run: async ({ resource: registry, body, author }) => {
      const { tokenId, name, expiry } = parseProperties(generateCredentialsSchema, body, '');
      return await generatePasswords(parts, {
        registry,
        tokenId,
        names: name == null ? tokenPasswordNames : [name],
        expiresAtMicros: expiry == null ? undefined : microsOf(expiry),
        author,
      });
    },
  };
}

/** Without an offset it is UTC. */
function microsOf(time: string): number {
  return Date.parse(/(Z|[+-]\d\d:\d\d)$/i.test(time) ? time : `${time}Z`) * 1_000;
}
