import type { Queries } from '../../platform/database/database.ts';

/** Queries begin with what is in one repository. */
export class RepositoryRows {
  readonly #queries: Queries;
  readonly #uid: string;

  constructor(queries: Queries, repositoryUid: string) {
    this.#queries = queries;
    this.#uid = repositoryUid;
  }

  tags() {
    return this.#queries.selectFrom('tags').where('repository_uid', '=', this.#uid);
  }

  manifests() {
    return this.#queries.selectFrom('manifests').where('repository_uid', '=', this.#uid);
  }

  references() {
    return this.#queries.selectFrom('manifest_references').where('repository_uid', '=', this.#uid);
  }
}
