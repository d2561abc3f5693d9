import assert from 'node:assert/strict';

/** A browser as far as our sign-in pages need one: it keeps cookies by host, follows redirects and fills in forms. */
export class PageVisitor {
  readonly #cookies = new Map<string, Map<string, string>>();
  #url = new URL('about:blank');
  #text = '';

  get text(): string {
    return this.#text;
  }

  /** Where it was sent at last; also an address outside of http, which it does not open. */
  get url(): URL {
    return this.#url;
  }

  async open(address: string): Promise<void> {
    await this.#send(new URL(address), { method: 'GET' });
  }

  /** Follows the link with these words. */
  async follow(words: string): Promise<void> {
    const links = [...this.#text.matchAll(/<a class="way" href="([^"]+)">([^<]+)</g)];
    const found = links.find(([, , text]) => text === words)?.[1];
    assert.ok(found !== undefined, `no link '${words}' on the page:\n${this.#text}`);
    await this.open(new URL(unescaped(found), this.#url).href);
  }

  /** Sends the page's form by the button of this value, with the hidden fields and what a person fills in. */
  async press(decision: string, filled: Readonly<Record<string, string>> = {}): Promise<void> {
    const action = /<form method="post" action="([^"]+)"/.exec(this.#text)?.[1];
    assert.ok(action !== undefined, `no form on the page:\n${this.#text}`);
    const inputs = [...this.#text.matchAll(/<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"/g)];
    const fields = Object.fromEntries(inputs.map(([, name = '', value = '']) => [name, unescaped(value)]));
    const body = new URLSearchParams({ ...fields, ...filled, decision });
    await this.#send(new URL(unescaped(action), this.#url), { method: 'POST', body });
  }

  async #send(url: URL, init: { readonly method: string; readonly body?: URLSearchParams }): Promise<void> {
    const jar = this.#cookies.get(url.host) ?? new Map<string, string>();
    this.#cookies.set(url.host, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { cookie, ...(init.method === 'POST' ? { origin: url.origin } : {}) };
    const answer = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      jar.set(name, value);
    }
    this.#url = url;
    this.#text = await answer.text();
    const next = answer.headers.get('location');
    if (next !== null) await this.#send(new URL(next, url), { method: 'GET' });
  }
}

function unescaped(text: string): string {
  return text.replaceAll('&amp;', '&').replaceAll('&quot;', '"').replaceAll('&#39;', "'");
}
