import type { Node } from '../../../../ir/graph.js';

/** Units along an axis of a constant: unit u has the elements u·width … (u + 1)·width − 1 of the axis. */
export interface Slice {
  readonly constant: string;
  readonly axis: number;
  width: number;
}

/** A layer that reads the units: the rows of its weights go with them. */
export interface Consumer extends Slice {
  readonly node: Node;
  /** Value in which every element of a unit is a channel of its own. */
  readonly source: string;
  readonly isImage: boolean;
  /** Elements of a unit in `source`; each stands for width / channels rows of the weights. */
  channels: number;
}

/** Where the units lie in a value. */
export interface Place {
  readonly space: Space;
  readonly axis: number;
  /** Elements of the axis that one unit has. */
  width: number;
  /** The value before it was flattened, whose channels they are, and its elements for each unit. */
  readonly source: string;
  readonly isImage: boolean;
  channels: number;
}

/** What must be written anew in a node when units go. */
export type NodeEdit =
  | { readonly kind: 'group'; readonly node: Node }
  /** The size at `at` of a Reshape's constant shape is units × width. */
  | { readonly kind: 'shape'; readonly node: Node; readonly at: number; width: number };

/**
 * Units that go together or not at all: the neurons of a layer, the channels that a residual sum ties to each other, the
 * heads of an attention.
 */
export class Space {
  readonly producers: { readonly node: Node; readonly slice: Slice }[] = [];
  /** Of producers' weights and biases, and of constants on the way. */
  readonly slices: Slice[] = [];
  readonly consumers: Consumer[] = [];
  readonly edits: NodeEdit[] = [];
  readonly places: Place[] = [];
  kind: 'neurons' | 'channels' | 'heads';
  /** Why nothing can be taken out. */
  locked: string | undefined;
  private merged: Space | undefined;

  constructor(
    public size: number,
    kind: Space['kind'],
  ) {
    this.kind = kind;
  }

  /** What it has become part of. */
  get root(): Space {
    return this.merged?.root ?? this;
  }

  lock(reason: string): void {
    this.root.locked ??= reason;
  }

  place(at: Omit<Place, 'space'>): Place {
    const { root } = this;
    const place = { ...at, space: root };
    root.places.push(place);
    return place;
  }

  join(given: Space): void {
    const [one, other] = [this.root, given.root];
    if (one === other) return;
    if (one.size !== other.size) {
      one.lock('it meets another with other units');
      other.lock('it meets another with other units');
      return;
    }
    one.producers.push(...other.producers);
    one.slices.push(...other.slices);
    one.consumers.push(...other.consumers);
    one.edits.push(...other.edits);
    one.places.push(...other.places);
    if (other.kind === 'heads' || (other.kind === 'channels' && one.kind === 'neurons'))
      one.kind = other.kind;
    one.locked ??= other.locked;
    other.merged = one;
  }

  /** Makes units of `factor` units that lie side by side: a head has the neurons of its part of a layer. */
  coarsen(factor: number): void {
    const { root } = this;
    root.size /= factor;
    root.kind = 'heads';
    for (const part of [...root.slices, ...root.consumers, ...root.places]) part.width *= factor;
    for (const part of [...root.consumers, ...root.places]) part.channels *= factor;
    for (const edit of root.edits) if (edit.kind === 'shape') edit.width *= factor;
  }
}
