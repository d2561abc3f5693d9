import { refuse } from './refuse.ts';

/** A region of the installation as `az account list-locations` shows it. */
export type Location = {
  /** `eastus`. */
  readonly name: string;
  /** `East US`. */
  readonly displayName: string;
};

/** Where resources can be: what the settings list. */
export type Locations = {
  readonly list: readonly Location[];
  /** Normal form of a name as people spell it, `East US` or `eastus`. Throws `locationUnknown`. */
  readonly parse: (text: string) => string;
};

/** In the settings, stands for the names below, so that what people have written for Azure runs as it is. */
export const publicRegions = 'public';

/** Source: Azure, "List of regions". */
const publicNames =
  'East US,East US 2,South Central US,West US 2,West US 3,Australia East,Southeast Asia,North Europe,Sweden Central,' +
  'UK South,West Europe,Central US,South Africa North,Central India,East Asia,Indonesia Central,Japan East,Japan West,' +
  'Korea Central,Malaysia West,New Zealand North,Canada Central,Austria East,Belgium Central,France Central,' +
  'Germany West Central,Italy North,Norway East,Poland Central,Spain Central,Switzerland North,Mexico Central,UAE North,' +
  'Brazil South,Chile Central,Israel Central,Qatar Central,North Central US,West US,West Central US,South Africa West,' +
  'Australia Central,Australia Central 2,Australia Southeast,Korea South,South India,West India,Canada East,France South,' +
  'Germany North,Norway West,Switzerland West,UK West,UAE Central,Brazil Southeast';

/** `names` as the settings have them; at least one. */
export function createLocations(names: readonly string[]): Locations {
  const displayNames = names.flatMap((name) => (name === publicRegions ? publicNames.split(',') : [name]));
  const byName = new Map(displayNames.map((displayName) => [normal(displayName), displayName]));
  const list = [...byName].map(([name, displayName]) => ({ name, displayName }));
  return {
    list,
    parse: (text) => {
      const name = normal(text);
      if (byName.has(name)) return name;
      throw refuse('locationUnknown', {
        message:
          `The provided location '${text.slice(0, 100)}' is not available. ` +
          `List of available regions is '${list.map((each) => each.name).join(',')}'.`,
        target: 'location',
      });
    },
  };
}

function normal(text: string): string {
  return text.replaceAll(' ', '').toLowerCase();
}
