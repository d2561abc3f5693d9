import { chainStart } from '../platform/journal/event-bytes.ts';
import type { Afterwards } from './rows.ts';

/**
 * Makes rows that were copied those of an installation of their own: uploads under way have no bytes here, and nobody is at work
 * on a job.
 */
export const forgetWorkUnderWay: Afterwards = async (query) => {
  await query('delete from uploads');
  await query(`update jobs set state = 'waiting', lease_owner = null, lease_until = 0 where state = 'running'`);
};

/**
 * As `forgetWorkUnderWay`; and every stream of the journal begins a new incarnation, because what followed the copy is lost and
 * its numbers will be given again. `uid` is new and made of letters and digits.
 */
export function beginAnew(uid: string): Afterwards {
  if (!/^[a-z0-9]+$/.test(uid)) throw new Error('malformed uid');
  return async (query) => {
    await forgetWorkUnderWay(query);
    await query(`update journal_heads set incarnation = '${uid}', seq = 0, hash = '${chainStart}'`);
  };
}
