import { consumersOf, readsOf, type Dim, type Model, type Node } from '../../../../ir/graph.js';
import { inferTypes } from '../../../../ir/shapes.js';
import { sizeOf } from '../../../../ir/tensor.js';
import { constantAt, labelOf } from '../dense-layer.js';
import { Space, type Place } from './spaces.js';

/** Operators that leave what is flattened as it is. */
const unchanging = new Set(['Identity', 'Dropout']);

/** Where units lie in the values of a graph, as far as it has been walked. */
export class Tracker {
  protected readonly places = new Map<string, Place>();
  protected readonly spaces: Space[] = [];
  protected readonly types;
  protected readonly readers;

  constructor(protected readonly model: Model) {
    this.types = inferTypes(model);
    this.readers = consumersOf(model.graph);
  }

  protected refuse(node: Node, why = `${node.op} ${labelOf(node)} reads it`): void {
    for (const name of readsOf(node)) this.places.get(name)?.space.lock(why);
  }

  protected isConstant(name: string): boolean {
    return constantAt(name, this.model.graph, this.model.irVersion) !== undefined;
  }

  protected shapeOf(name: string): readonly Dim[] | undefined {
    return this.types.get(name)?.shape;
  }

  /** A constant that only this node reads can be cut as the node needs it. */
  protected isOwn(name: string): boolean {
    return this.isConstant(name) && this.readers.get(name)?.length === 1;
  }

  protected open(node: Node, size: number, kind: Space['kind'], axis: number): Space {
    const space = new Space(size, kind);
    this.spaces.push(space);
    const source = node.outputs[0]!;
    const isImage = kind === 'channels';
    this.places.set(source, space.place({ axis, width: 1, source, isImage, channels: 1 }));
    return space;
  }

  /** @param change Where the units lie in the output, as far as it is another place than in the input. */
  protected moveOn(
    node: Node,
    place: Place,
    change: Partial<Pick<Place, 'axis' | 'width' | 'source' | 'channels' | 'isImage'>>,
  ): void {
    const output = node.outputs[0]!;
    const { axis, width, channels, isImage } = place;
    const at = { axis, width, source: output, channels, isImage, ...change };
    // What is flattened is told from what it was before.
    if (width !== channels && !unchanging.has(node.op)) this.refuse(node);
    else if (width !== channels) at.source = place.source;
    this.places.set(output, place.space.root.place(at));
    for (const further of node.outputs.slice(1)) {
      if (this.readers.has(further)) place.space.lock(`${labelOf(node)} has further outputs`);
    }
  }

  protected consume(node: Node, place: Place, constant: string, axis: number): void {
    const { space, source, width, channels, isImage } = place;
    if (!this.isOwn(constant)) {
      space.lock(`the weights ${constant} have other readers`);
      return;
    }
    space.root.consumers.push({ node, constant, axis, width, source, channels, isImage });
  }

  /** A constant that is a row of one number for each unit, or one number for all. */
  protected cutAlong(space: Space, name: string, columns: number): void {
    const constant = constantAt(name, this.model.graph, this.model.irVersion);
    if (constant?.dtype !== 'float32') {
      space.lock(`${name} is not constant`);
      return;
    }
    const { dims } = constant;
    if (sizeOf(dims) === 1) return;
    const isRow = dims.at(-1) === columns && sizeOf(dims) === columns;
    if (!isRow || !this.isOwn(name)) {
      space.lock(`${name} cannot be cut`);
      return;
    }
    space.slices.push({ constant: name, axis: dims.length - 1, width: 1 });
  }
}
