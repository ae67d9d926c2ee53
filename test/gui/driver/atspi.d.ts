/** The part of AT-SPI that the driver uses: https://docs.gtk.org/atspi2/ */
declare module 'gi://Atspi?version=2.0' {
  export interface Accessible {
    /** The name as far as it is known. */
    readonly name: string | null;
    /** Asks the window for the name, if it is not known. */
    get_name(): string;
    get_role_name(): string;
    get_child_count(): number;
    clear_cache(): void;
    get_child_at_index(index: number): Accessible | null;
    get_process_id(): number;
    get_state_set(): { contains(state: number): boolean };
    get_relation_set(): Relation[];
    get_action_iface(): Action | null;
    get_text_iface(): Text | null;
    get_editable_text_iface(): EditableText | null;
    get_value_iface(): { set_current_value(value: number): boolean } | null;
    get_component_iface(): Component | null;
    get_selection_iface(): Selection | null;
  }
  export interface Relation {
    get_relation_type(): number;
    get_target(index: number): Accessible;
  }
  export interface Action {
    get_n_actions(): number;
    get_action_name(index: number): string;
    get_key_binding(index: number): string;
    do_action(index: number): boolean;
  }
  export interface Text {
    get_character_count(): number;
  }
  export interface EditableText {
    set_text_contents(text: string): boolean;
  }
  export interface Selection {
    select_child(index: number): boolean;
  }
  export interface Component {
    grab_focus(): boolean;
    get_extents(coordinates: number): { x: number; y: number; width: number; height: number };
  }
  export interface EventListener {
    register(kind: string): boolean;
  }
  const Atspi: {
    EventListener: { new: (heard: () => void) => EventListener };
    init(): number;
    get_desktop(index: number): Accessible;
    // An Accessible has a get_text of its own.
    Text: { prototype: { get_text(this: Text, start: number, end: number): string } };
    StateType: { SENSITIVE: number; SHOWING: number; CHECKED: number; FOCUSED: number };
    RelationType: { LABELLED_BY: number; DESCRIBED_BY: number };
    KeySynthType: { SYM: number; PRESS: number; RELEASE: number; PRESSRELEASE: number };
    CoordType: { SCREEN: number };
    generate_mouse_event(x: number, y: number, name: string): boolean;
    generate_keyboard_event(key: number, text: string | null, type: number): boolean;
  };
  export default Atspi;
}
