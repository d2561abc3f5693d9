import { type Context, Hono } from 'hono';
import { classOfMethod } from '../../core/throttle-limits.ts';
import { anonymous } from '../../features/identity/principal.ts';
import type { ValidateByHand } from '../../features/webhooks/manual-validation.ts';
import type { Env } from '../middleware/env.ts';
import { ClientGone } from '../middleware/streams.ts';
import { countOnce, type ThrottleRequest } from '../middleware/throttle.ts';

export type ValidationRouteParts = {
  readonly validateSubscription: ValidateByHand;
  readonly throttle?: ThrottleRequest;
};

const longestWord = 1_000;

/** Where the owner of an endpoint agrees to be told of events: a stranger, let in by the token in the address. */
export function validationRoutes({ validateSubscription, throttle }: ValidationRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  const validate = async (c: Context<Env>) => {
    // Whoever only looks has not agreed.
    if (c.req.method === 'HEAD') return c.body(null);
    await countOnce(throttle, c, classOfMethod(c.req.method), anonymous);
    const word = (name: string) => (c.req.query(name) ?? '').slice(0, longestWord);
    const gone = c.req.raw.signal;
    try {
      await validateSubscription({ uid: word('id'), token: word('token') }, gone);
    } catch (error) {
      throw gone.aborted ? new ClientGone() : error;
    }
    return c.text('The endpoint is validated: the event subscription tells it of events from now on.\n');
  };
  routes.get('/eventsubscriptions/:name/validate', validate);
  // CloudEvents leaves the choice to the endpoint.
  routes.post('/eventsubscriptions/:name/validate', validate);
  return routes;
}
