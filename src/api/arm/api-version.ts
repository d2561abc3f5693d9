import { refuse } from '../../features/resources/refuse.ts';

/**
 * Any well-formed version is good: where shapes differ, the newest one that is not newer answers.
 * Throws `apiVersionMissing`, `apiVersionInvalid`.
 */
export function parseApiVersion(text: string | undefined): string {
  if (text === undefined || text === '')
    throw refuse('apiVersionMissing', {
      message: 'The api-version query parameter (?api-version=) is required for all requests.',
    });
  const [, date = ''] = /^(\d{4}-\d{2}-\d{2})(-[a-z]{1,20}(\.\d{1,3})?)?$/i.exec(text) ?? [];
  if (date !== '' && !Number.isNaN(Date.parse(date))) return text.toLowerCase();
  throw refuse('apiVersionInvalid', {
    message: `The api-version '${text.slice(0, 50)}' is invalid. Use YYYY-MM-DD, with -preview behind it for a preview.`,
  });
}
